"""What each role did, line by line, in the run's folder: the evidence `pope audit` holds the promises to.

    RUN/history/ROLE.jsonl     one Event a line, oldest first; only appended to, by one process at a time (and by one
                               that was given up for dead, until it finds out)

A role writes a line once the deed is done and acknowledged, so a line is a fact (`announce` alone comes first). A role
that is killed between a deed and its line leaves the line out: a missing line is no evidence against anybody, a
contradiction is. What must not be missing (which groups ended untrained, which a step got) is also noted by the server,
in the script that does it.

A line is one `write` to a file opened for appending: it outlives the process at once, a crash of the machine after the
kernel's next flush. Its end may be missing after that; the next incarnation of the role begins on a new line.

The folder is that of checkpoints and logs. A role on a machine that does not share it writes a local file nobody reads:
the run goes on, and the audit says which histories it could not find and what it therefore did not check.
"""

import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

log = logging.getLogger(__name__)

FOLDER = "history"
"""Inside a run's folder."""

What = Literal[
    "start", "gap", "publish", "fail", "hold", "put", "drop", "bury", "batch", "commit", "announce", "checkpoint"
]


class Event(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={"group_id": "ordinal", "group_ids": "ordinals"},
):
    """One deed of one role.

        start        an incarnation begins, on the keys `server`; the learner: at `step`, the newest checkpoint's
        gap          `missed` lines before this one could not be written (a full disk)
        publish      actor: group `group_id` is on the rollout stream
        fail         actor: group `group_id` is given up for `reason`
        hold         actor: its engine holds weights `version`
        put          preprocessor: group `group_id` is in the ring, written by `versions` (oldest, newest)
        drop         preprocessor: group `group_id` is dropped for `reason`
        bury         preprocessor: a group nobody can read is a dead letter for `reason`
        batch        learner: step `step` is handed the groups `group_ids`; it is not trained yet
        commit       learner: `step` is trained, and counted; `reason` says why it changed no weight
        announce     learner: weights `version` are about to be announced
        checkpoint   learner: `step` is durable, in a manifest of digest `sha256`
    """

    at: float
    """Unix seconds of the writer's clock; for people, no rule depends on it."""
    role: str
    incarnation: str
    """Names this incarnation of the role."""
    what: What
    server: str | None = None
    group_id: int | None = None
    group_ids: tuple[int, ...] = ()
    step: int | None = None
    version: int | None = None
    versions: tuple[int, int] | None = None
    reason: str | None = None
    sha256: str | None = None
    missed: int = 0


_DECODER = msgspec.json.Decoder(Event)


class History:
    """Appends the events of one incarnation of one role."""

    def __init__(self, run_folder: Path | None, role: str, incarnation: str | None = None) -> None:
        """`run_folder` None writes nothing. Without an incarnation this incarnation gets a name of its own."""
        self._role = role
        self._incarnation = incarnation or f"{role}@{time.time_ns()}"
        self._missed = 0
        self._file: int | None = None
        if run_folder is not None:
            self._file = _open(run_folder / FOLDER / f"{role}.jsonl")

    def add(self, what: What, **fields: Any) -> None:
        """Note one deed. A disk that is full costs lines, which are counted and told of, never the run."""
        if self._file is None:
            return
        if self._missed and self._write(self._event("gap", missed=self._missed)):
            self._missed = 0
        if self._missed or not self._write(self._event(what, **fields)):
            self._missed += 1

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _event(self, what: What, **fields: Any) -> Event:
        now = round(time.time(), 3)
        return Event(at=now, role=self._role, incarnation=self._incarnation, what=what, **fields)

    def _write(self, event: Event) -> bool:
        assert self._file is not None
        line = msgspec.json.encode(event) + b"\n"
        try:
            written = os.write(self._file, line)
            if written < len(line):  # the disk had room for a part of it
                os.ftruncate(self._file, os.fstat(self._file).st_size - written)
        except OSError as error:
            written = 0
            if not self._missed:
                log.warning("history of %s: lines are missing from here on (%s)", self._role, error)
        return written == len(line)


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    size = os.fstat(file).st_size
    if size and os.pread(file, 1, size - 1) != b"\n":
        os.write(file, b"\n")  # the line before was torn
    return file


@dataclass(frozen=True)
class Line:
    """An event and where it stands."""

    place: str
    """`learner-0.jsonl:31`"""
    event: Event


@dataclass(frozen=True)
class RoleHistory:
    """One file."""

    role: str
    lines: tuple[Line, ...]
    damaged: tuple[str, ...]
    """Places of lines that are no events and were not torn by the end of a life."""


def read_history(run_folder: Path) -> list[RoleHistory]:
    """The histories of all roles in a run's folder.

    Of a run that goes on, effects are read before their causes: preprocessors, actors, then the learner. So no history
    names a version or a group that one read after it has yet to tell of.
    """
    order = ("preprocess", "actor", "learner")
    paths = sorted((run_folder / FOLDER).glob("*.jsonl"))
    paths.sort(key=lambda path: next((i for i, room in enumerate(order) if path.stem.startswith(room)), 0))
    return [_read(path) for path in paths]


def _read(path: Path) -> RoleHistory:
    raw = path.read_bytes().split(b"\n")
    whole = raw[:-1]  # what follows the last line end is being written, or was torn
    lines: list[Line] = []
    unread: list[tuple[int, str]] = []
    for number, text in enumerate(whole, start=1):
        place = f"{path.name}:{number}"
        try:
            lines.append(Line(place, _DECODER.decode(text)))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            unread.append((number, place))
    starts = {line.place for line in lines if line.event.what == "start"}
    damaged = tuple(place for number, place in unread if f"{path.name}:{number + 1}" not in starts)
    return RoleHistory(path.stem, tuple(lines), damaged)
