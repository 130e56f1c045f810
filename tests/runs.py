"""Complete runs for tests: a `pope` command in its own process, small and bounded in time."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from broker.connection import connect
from broker.keys import Keys
from deploy.cluster.redis_server import running_url
from tests.waiting import wait_until

REPOSITORY = Path(__file__).parent.parent

SMALL = (
    "problems.num_hard=16",
    "problems.chain_steps=2",
    "guidance.num_prefixes=2",
    "guidance.samples=4",
    "evaluation.samples=8",
    "learner.batch_samples=32",
    "actors.max_num_seqs=64",
    "deploy.heartbeat_s=0.5",
)
"""Chains of two steps: the base model solves some of them, so groups have a gradient from the first step on."""
PATIENCE_S = 900.0
"""How long a test waits for what takes half a minute to four on a quiet machine. Only a run that hangs takes longer."""

_started: list["Run"] = []


def end_started() -> None:
    """Kills every run that a test started and, having failed, did not end."""
    for run in _started:
        if run.process.poll() is None:
            run.kill()
            run.process.communicate()
    _started.clear()


@dataclass
class Run:
    """A command in its own process."""

    process: subprocess.Popen[str]
    folder: Path
    seen: dict[int, psutil.Process] = field(default_factory=dict)
    """Every process that the run was observed to start."""

    def __post_init__(self) -> None:
        threading.Thread(target=self._watch, daemon=True).start()
        _started.append(self)

    def _watch(self) -> None:
        while self.process.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                self.seen.update({p.pid: p for p in self.descendants()})
            time.sleep(0.3)

    def left_behind(self) -> list[psutil.Process]:
        """Processes of the run that still run some seconds after its end."""
        return surviving(list(self.seen.values()))

    def running(self) -> list[str]:
        """Names of the run's processes that run now."""
        names = []
        for process in list(self.seen.values()):
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                    names.append(process.name())
        return names

    def wait(self, timeout_s: float = PATIENCE_S) -> str:
        """Its output, once it has ended. A run that does not end in time is killed; raises AssertionError."""
        try:
            output, _ = self.process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            output, _ = self.process.communicate()
            raise AssertionError(f"not finished after {timeout_s} s:\n{output}\n{self.logs()}") from None
        return output

    def wait_until(self, condition: Callable[[], bool], what: str, every_s: float = 0.2) -> None:
        """Returns when the condition holds or the run has ended. Raises AssertionError after `PATIENCE_S`."""
        wait_until(lambda: self.process.poll() is not None or condition(), what, PATIENCE_S, every_s)

    def summary(self) -> dict[str, Any]:
        return json.loads((self.folder / "summary.json").read_text())

    def steps(self) -> int:
        """Optimizer steps committed so far, read from the run's Redis."""
        url = running_url(self.folder / "redis", self.folder.name)
        if url is None:
            return 0
        client = connect(url, client_name="test")
        try:
            return int(client.hget(Keys(self.folder.name).learner, "committed") or 0)
        finally:
            client.close()

    def logs(self) -> str:
        """The end of every role's log, for a failed assertion."""
        return "\n".join(f"--- {p.name}\n{p.read_text()[-3000:]}" for p in sorted(self.folder.glob("logs/*.log")))

    def descendants(self) -> list[psutil.Process]:
        """Every process of this run that runs now."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def kill(self) -> None:
        for process in self.descendants():
            process.kill()
        self.process.kill()


def start_run(root: Path, *overrides: str, name: str = "small") -> Run:
    """Start `pope train` with the settings `SMALL`."""
    return start("train", root, *SMALL, *overrides, name=name)


def start(command: str, root: Path, *words: str, name: str) -> Run:
    """Start `pope COMMAND WORDS` for the run folder `root/name`."""
    return Run(_pope(command, *words, f"run.root={root}", f"run.name={name}"), root / name)


def start_on(folder: Path, command: str, *words: str) -> Run:
    """Start `pope COMMAND FOLDER WORDS` for an existing run."""
    return Run(_pope(command, str(folder), *words), folder)


def finish(run: Run) -> str:
    """The output of a command, which must succeed and leave no process."""
    output = run.wait()
    assert run.process.returncode == 0, output
    assert run.left_behind() == []
    return output


def _pope(*words: str) -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.cli", *words],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def surviving(processes: list[psutil.Process], timeout_s: float = 10.0) -> list[psutil.Process]:
    """The processes that still run after `timeout_s`."""
    _, alive = psutil.wait_procs(processes, timeout=timeout_s)
    return [process for process in alive if not _has_ended(process)]


def _has_ended(process: psutil.Process) -> bool:
    """A zombie has ended, even if init has not reaped it yet."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def interrupt(run: Run) -> None:
    os.kill(run.process.pid, signal.SIGINT)
