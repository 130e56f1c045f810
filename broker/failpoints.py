"""Failpoints: named places in the code where a test makes a role fail.

    POPE_FAILPOINTS="learner.before_commit:kill@3,preprocess.before_put:sleep:2"

The value is a list of entries `POINT:ACTION[@N]`, separated by commas. When a process reaches POINT for the N-th time
(default 1), it performs ACTION:

    kill            sends itself SIGKILL
    stop            sends itself SIGSTOP: it hangs, but its process still exists
    raise           raises FailpointReached
    sleep:SECONDS   sleeps

Each entry is executed once per run: if POPE_FAILPOINTS_FOLDER is set (`pope train` sets it to a folder of the run), the
process first creates a marker file there, so that a restarted role does not repeat it. N is counted per process.

When the variable is not set, `failpoint` only reads one global variable.
"""

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from broker.errors import PopeError, UsageError

VARIABLE, FOLDER_VARIABLE = "POPE_FAILPOINTS", "POPE_FAILPOINTS_FOLDER"
FOLDER = "failpoints"
"""Name of the folder of markers in a run's folder."""

POINTS = {
    "actor.claimed": "a group id is leased, no rollout has started",
    "actor.before_publish": "the rollouts are judged, the group is not on the stream",
    "actor.after_publish": "the group is on the stream, the actor has not recorded it",
    "actor.mid_update": "the engine is paused and loads new weights, its version is still the old one",
    "preprocess.after_read": "groups are delivered to this worker, none is processed",
    "preprocess.before_put": "the advantages are computed, the group is still on the stream",
    "preprocess.after_put": "the group is in the ring and acknowledged, the worker has not recorded it",
    "learner.after_take": "the batch is in the log, nothing of it is trained",
    "learner.before_optimizer": "the gradients of the step are complete, the weights are the old ones",
    "learner.after_optimizer": "the weights are the new ones, the step is not committed",
    "learner.after_commit": "the step is committed, its weights are not announced",
    "learner.mid_file": "the new weights have a temporary name, engines still find the old ones",
    "learner.mid_publish": "the new weights have their final name, they are not announced",
    "learner.mid_broadcast": "the next tensor is about to be broadcast to the engines (nccl)",
    "checkpoint.begun": "the temporary folder exists and is empty",
    "checkpoint.state": "DeepSpeed has written this rank's files, the exported weights are missing",
    "checkpoint.written": "this rank has written all its files, their digests are not computed",
    "checkpoint.sealed": "the digests of this rank are on disk, the manifest is not",
    "checkpoint.manifest": "the manifest is on disk, the folder still has its temporary name",
    "checkpoint.renamed": "the folder has its final name, LATEST names the previous one",
    "checkpoint.pointed": "LATEST names the folder, older ones are not removed yet",
}
"""Name -> the state at that moment."""

_ENTRY = re.compile(
    r"(?P<point>[a-z_.]+):(?P<action>kill|stop|raise|sleep:(?P<seconds>\d+(?:\.\d+)?))(?:@(?P<nth>[1-9]\d*))?"
)


class FailpointReached(PopeError):
    """Raised by the action `raise`."""


@dataclass(frozen=True)
class Entry:
    """One failure to inject."""

    point: str
    action: str
    seconds: float
    nth: int

    @property
    def marker(self) -> str:
        return f"{self.point}-{self.action.replace(':', '-')}-{self.nth}"


def parse(text: str) -> list[Entry]:
    """Parses the value of the variable. Raises UsageError naming the entry and the rule."""
    entries = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _ENTRY.fullmatch(part)
        if match is None:
            rule = "POINT:ACTION[@N] with ACTION kill, stop, raise or sleep:SECONDS"
            raise UsageError(f"{VARIABLE}: {part!r} is not {rule}")
        if match["point"] not in POINTS:
            raise UsageError(f"{VARIABLE}: there is no failpoint {match['point']!r}; there are {', '.join(POINTS)}")
        action, _, _ = match["action"].partition(":")
        entries.append(Entry(match["point"], action, float(match["seconds"] or 0), int(match["nth"] or 1)))
    return entries


class Failpoints:
    """The entries of one process, and how often the process reached each point."""

    def __init__(self, entries: list[Entry], folder: Path | None) -> None:
        self._entries, self._folder = entries, folder
        self._reached: Counter[str] = Counter()
        self._done: set[Entry] = set()

    def reach(self, point: str) -> None:
        assert point in POINTS, point
        self._reached[point] += 1
        for entry in self._entries:
            if entry.point == point and entry.nth == self._reached[point] and self._first(entry):
                _ACTIONS[entry.action](entry)

    def _first(self, entry: Entry) -> bool:
        """Marks the entry as executed; False when it had been executed before in this run."""
        if self._folder is None:
            fresh = entry not in self._done
            self._done.add(entry)
            return fresh
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            os.close(os.open(self._folder / entry.marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except FileExistsError:
            return False
        return True


def _raise(entry: Entry) -> None:
    raise FailpointReached(f"failpoint {entry.point}: {POINTS[entry.point]}")


_ACTIONS: dict[str, Callable[[Entry], None]] = {
    "kill": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda _: os.kill(os.getpid(), signal.SIGSTOP),
    "raise": _raise,
    "sleep": lambda entry: time.sleep(entry.seconds),
}

_armed: Failpoints | None = None


def arm(text: str, folder: str | None) -> None:
    """Sets the failpoints of this process; an empty text clears them. Raises UsageError."""
    global _armed
    _armed = Failpoints(parse(text), Path(folder) if folder else None) if text else None


def failpoint(point: str) -> None:
    """Marks a place where the process can be made to fail."""
    if _armed is not None:
        _armed.reach(point)


def environment() -> dict[str, str]:
    """The environment variables that give another process the same failpoints."""
    return {name: os.environ[name] for name in (VARIABLE, FOLDER_VARIABLE) if name in os.environ}


def choose_folder(run_folder: Path) -> None:
    """Puts the markers into the run's folder, unless the folder variable is set; child processes inherit the choice."""
    if os.environ.get(VARIABLE):
        os.environ.setdefault(FOLDER_VARIABLE, str(run_folder / FOLDER))
        arm(os.environ[VARIABLE], os.environ[FOLDER_VARIABLE])


arm(os.environ.get(VARIABLE, ""), os.environ.get(FOLDER_VARIABLE))
