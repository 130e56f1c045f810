"""Faults of those who start and stop runs: signals, a second job on a folder, a continuation under other settings."""

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
from tests.faults.outcome import Outcome
from tests.faults.owner import open_folder
from tests.faults.scene import PATIENCE_S, Scene
from tests.runs import REPOSITORY, surviving

JOB_STOP_S = 3.0
"""`ray job stop` sends SIGTERM, and SIGKILL after so long."""
RESUME = "run.resume=true"


def signalled(root: Path, seed: int) -> Outcome:
    """F21: Ctrl-C, SIGTERM, an impatient second Ctrl-C, and a SIGKILL as `ray job stop` ends with, each at any moment.

    Nothing is left running, the exit code says which signal it was, the books close, and the run can be resumed.
    """
    outcome = Outcome()
    dice = random.Random(seed)
    scene = Scene(root)
    resume: tuple[str, ...] = ()
    for name in dice.sample(sorted(SIGNALS), len(SIGNALS)):
        signals, code = SIGNALS[name]
        owner = Owner("work", scene.folder.settings, *resume)
        time.sleep(dice.uniform(0.0, 1.5))
        family = owner.family()
        began = time.monotonic()
        for number, pause_s in signals:
            owner.process.send_signal(number)
            time.sleep(pause_s * dice.random())
        ended = owner.process.wait(PATIENCE_S)
        left = surviving(family)
        outcome.injected += 1
        outcome.recovery_s.append(time.monotonic() - began)
        outcome.require(ended == code, f"{name}: exit code {ended}, not {code}: {owner.output()}")
        outcome.require(not left, f"{name}: left running: {[process.name() for process in left]}")
        found = audit(scene.folder.path)
        outcome.require(found.violation is None, f"{name}: {found.violation}\n{found.explain()}")
        resume = (RESUME,)
    outcome.require(audit(scene.folder.path).balance.trained > 0, "nothing was trained in all these lives")
    return outcome


SIGNALS: dict[str, tuple[tuple[tuple[signal.Signals, float], ...], int]] = {
    "Ctrl-C": (((signal.SIGINT, 0),), 130),
    "SIGTERM": (((signal.SIGTERM, 0),), 143),
    "Ctrl-C twice": (((signal.SIGINT, 0.05), (signal.SIGINT, 0)), 130),
    "ray job stop": (((signal.SIGSTOP, 0), (signal.SIGTERM, JOB_STOP_S / 3), (signal.SIGKILL, 0)), -signal.SIGKILL),
}
"""Name -> ((signal, longest pause after it in seconds) ..., exit code). A stopped process hears no SIGTERM in time."""


def second_job(root: Path, seed: int) -> Outcome:
    """F22: a second job on the folder of a run that goes on is refused and touches nothing; a dead owner's lock is
    nobody's."""
    outcome = Outcome()
    scene = Scene(root)
    resume: tuple[str, ...] = ()
    for round_ in range(2):
        owner = Owner("hold", scene.folder.settings, *resume)
        resume = (RESUME,)
        before = digests(scene.folder.path)
        for overrides in ((), resume):
            said = refused(scene, *overrides)
            outcome.injected += 1
            named = said is not None and f"pid {owner.process.pid} on " in said
            outcome.require(named, f"the second job was not refused with its owner: {said}")
        if round_ == 0:
            command = [sys.executable, "-m", "deploy.cli", "train", str(scene.folder.settings)]
            done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)
            outcome.injected += 1
            outcome.require(done.returncode == 2, f"pope train ended with {done.returncode}: {done.stderr}")
        outcome.require(digests(scene.folder.path) == before, "the second job touched the run's folder")
        owner.process.kill()
        owner.process.wait()
        killed_at = time.monotonic()
        with open_folder(scene.folder.settings, RESUME) as session:
            outcome.require(session.client.ping(), "the run's Redis does not answer its next owner")
        outcome.recovery_s.append(time.monotonic() - killed_at)
    return outcome


def changed_settings(root: Path, seed: int) -> Outcome:
    """F23: a run is resumed under settings it cannot go on with: refused, the key and both values named, nothing
    changed."""
    outcome = Outcome()
    scene = Scene(root)
    with open_folder(scene.folder.settings):
        pass
    before = digests(scene.folder.path)
    for key, value in random.Random(seed).sample(sorted(CHANGES.items()), len(CHANGES)):
        said = refused(scene, RESUME, f"{key}={value}")
        outcome.injected += 1
        outcome.require(said is not None and f"{key}={value} (it has " in said, f"{key}={value}: {said}")
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


class Owner:
    """A driver in a process of its own, at work."""

    def __init__(self, part: str, settings: Path, *overrides: str) -> None:
        scratch = settings.parent.parent / f"owner-{time.monotonic_ns()}"
        scratch.mkdir()
        options = scratch / "options.json"
        options.write_text(json.dumps({"settings": str(settings), "overrides": overrides}))
        self._log = scratch / "log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.owner", part, str(options)],
                cwd=REPOSITORY, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + 2 * PATIENCE_S
        while "at work" not in self.output():
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < deadline, "the driver did not come up"
            time.sleep(0.02)

    def family(self) -> list[psutil.Process]:
        process = psutil.Process(self.process.pid)
        return [process, *process.children(recursive=True)]

    def output(self) -> str:
        return self._log.read_text()


def refused(scene: Scene, *overrides: str) -> str | None:
    """What a session over the scene's folder is refused with; None: it is not."""
    try:
        with open_folder(scene.folder.settings, *overrides):
            return None
    except (UsageError, ConfigError) as error:
        return str(error)


def digests(folder: Path) -> dict[str, str]:
    """Path -> SHA-256 of every file of a run, the server's log left out."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in ("valkey.log", "lock"))
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}
