"""Roles as plain processes, for the real supervisor: what Ray actors are in a run.

A process is told what it is by its command line, says that it is up by an empty file, and goes to work when its first
line of input tells it how.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.learner.ranks import REPOSITORY


class Call:
    """One call of a role: `finished` says whether it has an answer."""

    def __init__(self, role: "LocalRole", finished: Callable[[], bool], answer: Any = None) -> None:
        self.role, self.finished, self.answer = role, finished, answer


class LocalRole:
    """A role in a process of its own, with the methods that the driver calls on a Ray actor."""

    def __init__(self, what: str, name: str, scratch: Path, failpoints: dict[str, str]) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        self.name, self.log, self._ready = name, scratch / f"{name}.log", scratch / f"{name}-{time.time_ns()}.up"
        with self.log.open("a") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.worker", what, str(self._ready)],
                cwd=REPOSITORY,
                env={**os.environ, "OMP_NUM_THREADS": "1", **failpoints},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self.start = SimpleNamespace(remote=lambda: Call(self, self._ready.exists))
        self.address = SimpleNamespace(remote=lambda: Call(self, lambda: True, _free_address()))

    def run(self, **options: Any) -> Call:
        """Go to work; the call is finished when the process has ended."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died meanwhile, which the host tells
            self.process.stdin.write(json.dumps(options) + "\n")
            self.process.stdin.flush()
        return Call(self, lambda: False)


class LocalHost:
    """The host of `LocalRole`s. Those that are `cut_off` cannot be killed: their machine does not answer."""

    def __init__(self) -> None:
        self.cut_off: set[str] = set()
        self.lost: list[LocalRole] = []
        """Roles that were to be killed and live on."""

    def done(self, call: Call) -> bool:
        return call.finished() or call.role.process.poll() is not None

    def result(self, call: Call, timeout_s: float | None = None) -> Any:
        deadline = time.monotonic() + (timeout_s or 0.0)
        while not self.done(call):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no answer in {timeout_s} s")
            time.sleep(0.01)
        if code := call.role.process.poll():
            last = call.role.log.read_text().strip().rpartition("\n")[2]
            raise ChildProcessError(f"exit code {code}: {last}")
        return call.answer

    def kill(self, handle: LocalRole) -> None:
        if handle.name in self.cut_off:
            self.lost.append(handle)
            return
        handle.process.kill()
        handle.process.wait()

    def wake(self, role: LocalRole) -> None:
        """A stopped role that nobody reached goes on."""
        role.process.send_signal(signal.SIGCONT)


def _free_address() -> tuple[str, int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return "127.0.0.1", probe.getsockname()[1]
