"""Faults of users and schedulers: signals, a second job on a folder, a resume under other settings."""

import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from broker.errors import UsageError
from conf.errors import ConfigError
from deploy.audit.command import audit
from tests.faults.driver_process import open_folder
from tests.faults.outcome import Outcome
from tests.faults.scene import TIMEOUT_S, Scene
from tests.runs import REPOSITORY, surviving

JOB_STOP_S = 3.0
"""`ray job stop` sends SIGTERM, and SIGKILL after so long."""
RESUME = "run.resume=true"


def ended_by_signal(root: Path, seed: int) -> Outcome:
    """F21: Ctrl-C, SIGTERM, a second Ctrl-C, and the SIGKILL of `ray job stop`, each at a random moment.

    No process stays, the exit code names the signal, the balance holds, and the run can be resumed.
    """
    outcome = Outcome()
    rng = random.Random(seed)
    scene = Scene(root)
    resume: tuple[str, ...] = ()
    for name in rng.sample(sorted(SIGNALS), len(SIGNALS)):
        signals, code = SIGNALS[name]
        driver = DriverProcess("work", scene.folder.settings, *resume)
        time.sleep(rng.uniform(0.0, 1.5))
        processes = driver.processes()
        began = time.monotonic()
        for number, pause_s in signals:
            driver.process.send_signal(number)
            time.sleep(pause_s * rng.random())
        ended = driver.process.wait(TIMEOUT_S)
        left = surviving(processes)
        outcome.injected += 1
        outcome.recovery_s.append(time.monotonic() - began)
        outcome.require(ended == code, f"{name}: exit code {ended}, not {code}: {driver.output()}")
        outcome.require(not left, f"{name}: left running: {[process.name() for process in left]}")
        result = audit(scene.folder.path)
        outcome.require(result.violation is None, f"{name}: {result.violation}\n{result.explain()}")
        resume = (RESUME,)
    outcome.require(audit(scene.folder.path).balance.trained > 0, "no incarnation trained anything")
    return outcome


SIGNALS: dict[str, tuple[tuple[tuple[signal.Signals, float], ...], int]] = {
    "Ctrl-C": (((signal.SIGINT, 0),), 130),
    "SIGTERM": (((signal.SIGTERM, 0),), 143),
    "Ctrl-C twice": (((signal.SIGINT, 0.05), (signal.SIGINT, 0)), 130),
    "ray job stop": (((signal.SIGSTOP, 0), (signal.SIGTERM, JOB_STOP_S / 3), (signal.SIGKILL, 0)), -signal.SIGKILL),
}
"""Name -> (((signal, longest pause after it in seconds), ...), exit code). A stopped process handles no SIGTERM."""


def second_job(root: Path, seed: int) -> Outcome:
    """F22: a second job on the folder of a live run is refused and changes nothing; after the owner died the folder is
    free."""
    outcome = Outcome()
    scene = Scene(root)
    resume: tuple[str, ...] = ()
    for round_ in range(2):
        driver = DriverProcess("hold", scene.folder.settings, *resume)
        resume = (RESUME,)
        before = digests(scene.folder.path)
        for overrides in ((), resume):
            message = refused(scene, *overrides)
            outcome.injected += 1
            named = message is not None and f"pid {driver.process.pid} on " in message
            outcome.require(named, f"the second job was not refused, or the owner not named: {message}")
        if round_ == 0:
            command = [sys.executable, "-m", "deploy.cli", "train", str(scene.folder.settings)]
            done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)
            outcome.injected += 1
            outcome.require(done.returncode == 2, f"pope train ended with {done.returncode}: {done.stderr}")
        outcome.require(digests(scene.folder.path) == before, "the second job changed the run's folder")
        driver.process.kill()
        driver.process.wait()
        killed_at = time.monotonic()
        with open_folder(scene.folder.settings, RESUME) as session:
            outcome.require(session.client.ping(), "the run's Redis does not answer its next owner")
        outcome.recovery_s.append(time.monotonic() - killed_at)
    return outcome


def changed_settings(root: Path, seed: int) -> Outcome:
    """F23: a resume under settings that must not change is refused with key and both values, and changes nothing."""
    outcome = Outcome()
    scene = Scene(root)
    with open_folder(scene.folder.settings):
        pass
    before = digests(scene.folder.path)
    for key, value in random.Random(seed).sample(sorted(CHANGES.items()), len(CHANGES)):
        message = refused(scene, RESUME, f"{key}={value}")
        outcome.injected += 1
        outcome.require(message is not None and f"{key}={value} (it has " in message, f"{key}={value}: {message}")
        outcome.require(digests(scene.folder.path) == before, f"{key}={value} changed the run's folder")
    began = time.monotonic()
    with open_folder(scene.folder.settings, RESUME, "run.max_steps=77") as session:
        outcome.require(session.config.run.max_steps == 77, "run.max_steps may be raised")
    outcome.recovery_s.append(time.monotonic() - began)
    return outcome


CHANGES = {
    "learner.num_ranks": "2",
    "learner.zero_stage": "2",
    "learner.learning_rate": "0.5",
    "broker.ring.capacity": "996",
    "actors.max_num_seqs": "16",
    "model.path": "another-model",
    "run.seed": "123",
}  # fmt: skip


class DriverProcess:
    """A driver in its own process, at work."""

    def __init__(self, part: str, settings: Path, *overrides: str) -> None:
        scratch = settings.parent.parent / f"driver-{time.monotonic_ns()}"
        scratch.mkdir()
        options = scratch / "options.json"
        options.write_text(json.dumps({"settings": str(settings), "overrides": overrides}))
        self._log = scratch / "log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.driver_process", part, str(options)],
                cwd=REPOSITORY, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + 2 * TIMEOUT_S
        while "at work" not in self.output():
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < deadline, "the driver did not come up"
            time.sleep(0.02)

    def processes(self) -> list[psutil.Process]:
        process = psutil.Process(self.process.pid)
        return [process, *process.children(recursive=True)]

    def output(self) -> str:
        return self._log.read_text()


def refused(scene: Scene, *overrides: str) -> str | None:
    """The message with which a session over the scene's folder is refused; None if it is not."""
    try:
        with open_folder(scene.folder.settings, *overrides):
            return None
    except (UsageError, ConfigError) as error:
        return str(error)


def digests(folder: Path) -> dict[str, str]:
    """Path -> SHA-256 of every file of a run, without the server's log and lock."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in ("valkey.log", "lock"))
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}
