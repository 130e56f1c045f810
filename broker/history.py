"""The history of a run: the events of each role, appended to a file in the run folder. `pope audit` checks them.

    RUN/history/ROLE.jsonl     one Event a line, oldest first; append-only, written by one process at a time (and by a
                               replaced process until it notices)

A role writes a line after the operation was acknowledged, so each line describes a completed operation; only `announce`
is written before. A role that is killed in between writes no line, so the audit reports contradictions but not missing
lines. The facts it cannot do without (which groups ended untrained, which groups a step got) are also recorded by the
server, in the script that does the operation.

A line is one `write` to a file opened for appending. It survives the death of the process at once, and a crash of the
machine after the kernel's next flush. A crash may tear the last line; the next incarnation starts on a new one.

The history is in the same folder as checkpoints and logs. A role on a machine that does not share the folder writes a
local file that nobody reads: the run continues, and the audit lists the missing histories and the checks it skipped.
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
"""Name of the folder in a run's folder."""

EventKind = Literal[
    "start", "gap", "publish", "fail", "hold", "put", "drop", "bury", "batch", "commit", "announce", "checkpoint"
]


class Event(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={"group_id": "ordinal", "group_ids": "ordinals"},
):
    """One event of one role. The wire names are `ordinal` and `ordinals`.

        start        an incarnation starts, on the keys with the id `server`; the learner starts at checkpoint `step`
        gap          `missed` events before this one could not be written (full disk)
        publish      actor: group `group_id` of problem `problem_id` under `arm` is on the rollout stream, with
                     `guidance_chars` characters of guidance in its prompt
        fail         actor: group `group_id` failed for `reason`
        hold         actor: its engine holds policy version `version`
        put          preprocessor: group `group_id` is in the ring, sampled by `versions` (oldest, newest)
        drop         preprocessor: group `group_id` is dropped for `reason`
        bury         preprocessor: an unreadable group became a dead letter for `reason`
        batch        learner: step `step` has the groups `group_ids`; it is not trained yet
        commit       learner: step `step` is trained and counted; `reason`: why it changed no weight, if so
        announce     learner: policy version `version` is about to be announced
        checkpoint   learner: step `step` is durable, in a manifest with the digest `sha256`
    """

    at: float
    """Unix seconds of the writer's clock; informational, the audit does not use it."""
    role: str
    incarnation: str
    """Unique name of this incarnation of the role."""
    what: EventKind
    server: str | None = None
    group_id: int | None = None
    group_ids: tuple[int, ...] = ()
    problem_id: str | None = None
    arm: str | None = None
    guidance_chars: int | None = None
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
        """With `run_folder` None nothing is written. The default for `incarnation` is a new unique name."""
        self._role = role
        self._incarnation = incarnation or f"{role}@{time.time_ns()}"
        self._missed = 0
        self._file: int | None = None
        if run_folder is not None:
            self._file = _open(run_folder / FOLDER / f"{role}.jsonl")

    def add(self, what: EventKind, **fields: Any) -> None:
        """Appends one event. If the disk is full, the line is skipped and counted; the run continues."""
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

    def _event(self, what: EventKind, **fields: Any) -> Event:
        now = round(time.time(), 3)
        return Event(at=now, role=self._role, incarnation=self._incarnation, what=what, **fields)

    def _write(self, event: Event) -> bool:
        assert self._file is not None
        line = msgspec.json.encode(event) + b"\n"
        try:
            written = os.write(self._file, line)
            if written < len(line):  # the disk had space for a part of it
                os.ftruncate(self._file, os.fstat(self._file).st_size - written)
        except OSError as error:
            written = 0
            if not self._missed:
                log.warning("history of %s: events cannot be written and are skipped (%s)", self._role, error)
        return written == len(line)


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    size = os.fstat(file).st_size
    if size and os.pread(file, 1, size - 1) != b"\n":
        os.write(file, b"\n")  # the last line is torn
    return file


@dataclass(frozen=True)
class Line:
    """An event and its place."""

    place: str
    """`learner-0.jsonl:31`"""
    event: Event


@dataclass(frozen=True)
class RoleHistory:
    """The history of one role."""

    role: str
    lines: tuple[Line, ...]
    damaged: tuple[str, ...]
    """Places of lines that are not events and were not torn by the end of an incarnation."""


def read_history(run_folder: Path) -> list[RoleHistory]:
    """The histories of all roles in a run's folder.

    In a live run effects are read before their causes: preprocessors, actors, then the learner. Every version or group
    that a history names is therefore in the histories read after it.
    """
    order = ("preprocess", "actor", "learner")
    paths = sorted((run_folder / FOLDER).glob("*.jsonl"))
    paths.sort(key=lambda path: next((i for i, room in enumerate(order) if path.stem.startswith(room)), 0))
    return [_read(path) for path in paths]


def _read(path: Path) -> RoleHistory:
    raw = path.read_bytes().split(b"\n")
    whole = raw[:-1]  # text after the last line end is incomplete: being written, or torn
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
