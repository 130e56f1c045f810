"""Named places where a test makes a role fail, exact to the line.

    POPE_FAILPOINTS="learner.before_commit:kill@3,preprocess.before_put:sleep:2"

is `POINT:ACTION[@N]`, separated by commas. The N-th time (1 when left out) a process reaches POINT it does ACTION:

    kill            dies at once (SIGKILL)
    stop            hangs (SIGSTOP), alive for whoever looks from outside
    raise           raises FailpointReached
    sleep:SECONDS   is late

Each entry acts once a run: where POPE_FAILPOINTS_FOLDER is set (`pope train` sets it to a folder of the run) it leaves
a marker there first, so that the role that takes over does not die of the same entry. N counts in each process anew.

Without the variable `failpoint` does nothing but look at one global name.
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
"""Inside a run's folder."""

POINTS = {
    "actor.claimed": "a group id is leased, its rollouts are not begun",
    "actor.before_publish": "the rollouts are judged, the group is not on the stream",
    "actor.after_publish": "the group is on the stream, the actor has not noted it",
    "actor.mid_update": "the engine is paused and takes new weights, its version is still the old one",
    "preprocess.after_read": "groups are in this worker's hands, none is worked on",
    "preprocess.before_put": "the advantages are known, the group is still on the stream",
    "preprocess.after_put": "the group is in the ring and acknowledged, the worker has not noted it",
    "learner.after_take": "the batch is in the log, nothing of it is trained",
    "learner.before_optimizer": "the gradients of the step are complete, the weights are the old ones",
    "learner.after_optimizer": "the weights are the new ones, the step is not committed",
    "learner.after_commit": "the step is committed, its weights are not announced",
    "learner.mid_file": "the new weights lie under a temporary name, engines still find the old ones",
    "learner.mid_publish": "the new weights lie where engines find them, they are not announced",
    "learner.mid_broadcast": "another tensor is about to be sent to the engines (nccl)",
    "checkpoint.begun": "the temporary folder is there, empty",
    "checkpoint.state": "DeepSpeed has written this rank's files, the weights for everybody else are missing",
    "checkpoint.written": "this rank has written all its files, their digests are unknown",
    "checkpoint.sealed": "the digests of this rank are on the disk, the manifest is not",
    "checkpoint.manifest": "the manifest is on the disk, the folder still has its temporary name",
    "checkpoint.renamed": "the folder has its final name, LATEST names the one before",
    "checkpoint.pointed": "LATEST names it, older ones are not removed yet",
}
"""Name -> the exact moment."""

_ENTRY = re.compile(
    r"(?P<point>[a-z_.]+):(?P<action>kill|stop|raise|sleep:(?P<seconds>\d+(?:\.\d+)?))(?:@(?P<nth>[1-9]\d*))?"
)


class FailpointReached(PopeError):
    """What `raise` raises."""


@dataclass(frozen=True)
class Entry:
    """One failure to come."""

    point: str
    action: str
    seconds: float
    nth: int

    @property
    def marker(self) -> str:
        return f"{self.point}-{self.action.replace(':', '-')}-{self.nth}"


def parse(text: str) -> list[Entry]:
    """The entries of the variable. Raises UsageError naming the entry, the rule and the nearest remedy."""
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
    """The entries of one process, and how often it reached each point."""

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
        """Whether this run has not done it yet; from now on it has."""
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
    """Set what this process is to fail at; an empty text disarms it. Raises UsageError."""
    global _armed
    _armed = Failpoints(parse(text), Path(folder) if folder else None) if text else None


def failpoint(point: str) -> None:
    """Here the process may be told to fail."""
    if _armed is not None:
        _armed.reach(point)


def environment() -> dict[str, str]:
    """What a process started elsewhere needs in its environment to fail at the same points."""
    return {name: os.environ[name] for name in (VARIABLE, FOLDER_VARIABLE) if name in os.environ}


def choose_folder(run_folder: Path) -> None:
    """Markers go into this run's folder, unless somebody chose another one; every process started from here on
    inherits the choice."""
    if os.environ.get(VARIABLE):
        os.environ.setdefault(FOLDER_VARIABLE, str(run_folder / FOLDER))
        arm(os.environ[VARIABLE], os.environ[FOLDER_VARIABLE])


arm(os.environ.get(VARIABLE, ""), os.environ.get(FOLDER_VARIABLE))
