"""The reports of a run as files in its folder. Redis keeps only the newest reports, the files keep all of them.

    metrics/ROOM.jsonl   every report of the room in wire form, oldest first, one a line; `id` is its entry id. Numbers
                         are numbers; one that JSON does not have (nan, inf) is text, as all are in Redis

The driver is the only writer. If it is killed while writing a line, readers ignore the incomplete line, and the next
driver removes it and appends the reports after the last complete line. If the disk is full, the reports are written at
a later call.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from broker.errors import UsageError
from broker.metrics import Metrics
from broker.reports import (
    ACTORS,
    GROUPS,
    LEARNER,
    PREPROCESS,
    TIMES,
    R,
    from_fields,
    has_kind,
    text_of,
    with_numbers,
)

log = logging.getLogger(__name__)

ROOMS = (ACTORS, GROUPS, PREPROCESS, LEARNER, TIMES)
"""Rooms that the driver writes to files during training."""
REQUIRED_ROOMS = ROOMS[:-1]
"""Those that every finished run has; runs of version 0.2 and before have no times."""
Entry = dict[str, str]
"""A report in wire form, its entry id under `id`."""
_DECODER = msgspec.json.Decoder(dict[str, str | int | float])
_TAIL_BYTES = 1 << 20
"""Number of bytes at the end of a file that are searched for the last line; reports are much shorter."""


def path_of(folder: Path, room: str) -> Path:
    """The file of a room; `folder` is `RunFolder.metrics`."""
    return folder / f"{room}.jsonl"


class MetricFile:
    """The file of one room, for its writer."""

    def __init__(self, path: Path, metrics: Metrics) -> None:
        """Raises UsageError when the last complete line of an existing file is not a report."""
        self._path, self.room, self._metrics = path, path.stem, metrics
        self._end, self._last_id = _tail(path)
        self._refused = False
        with path.open("ab") as file:  # a room without reports gets an empty file
            file.truncate(self._end)

    def follow(self) -> list[Entry]:
        """Appends the reports since the last call and returns them; none when the disk is full."""
        fresh = self._metrics.entries(self.room, _after(self._last_id))
        return fresh if fresh and self._append(fresh) else []

    def _append(self, entries: list[Entry]) -> bool:
        lines = b"".join(msgspec.json.encode(with_numbers(self.room, entry)) + b"\n" for entry in entries)
        try:
            with self._path.open("ab") as file:
                file.write(lines)
        except OSError as error:
            os.truncate(self._path, self._end)  # a part of the lines may have been written
            if not self._refused:
                log.warning("%s cannot be written, will be retried: %s", self._path, error)
            self._refused = True
            return False
        self._end += len(lines)
        self._last_id = entries[-1]["id"]
        self._refused = False
        return True


def read_reports(folder: Path, kind: type[R], metrics: Metrics | None = None) -> Iterator[R]:
    """All reports of a kind, oldest first: those in the file, then those that only Redis has so far.

    Raises UsageError for a damaged file.
    """
    for entry in read_entries(folder, kind.room, metrics):
        if has_kind(kind, entry):
            try:
                yield from_fields(kind, entry)
            except msgspec.ValidationError as error:
                path = path_of(folder, kind.room)
                raise UsageError(
                    f"{path} is damaged: report {entry['id']}: {error}; move it away to continue"
                ) from error


def read_entries(folder: Path, room: str, metrics: Metrics | None = None) -> Iterator[Entry]:
    """Reports of all kinds of a room in wire form, as in `read_reports`."""
    path, last_id = path_of(folder, room), ""
    if path.exists():
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.endswith(b"\n"):
                    entry = _decoded(path, line, f"line {number}")
                    last_id = entry["id"]
                    yield entry
    if metrics is not None:
        yield from metrics.entries(room, _after(last_id))


class MetricReader:
    """Reads the file of one room while the driver writes it."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset = path, 0

    def fresh(self) -> list[Entry]:
        """The reports since the last call; none while there is no file. Raises UsageError for a damaged file."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            lines = [line for line in file if line.endswith(b"\n")]
        entries = [_decoded(self._path, line, f"after byte {self._offset}") for line in lines]
        self._offset += sum(map(len, lines))
        return entries


def _after(last_id: str) -> str:
    return f"({last_id}" if last_id else "-"


def _tail(path: Path) -> tuple[int, str]:
    """(bytes up to the end of the last complete line, the id in that line); (0, "") without one."""
    if not path.exists():
        return 0, ""
    with path.open("rb") as file:
        begin = max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES)
        file.seek(begin)
        tail = file.read()
    end = tail.rfind(b"\n") + 1
    if not begin + end:
        return 0, ""
    last = tail[:end].removesuffix(b"\n").rpartition(b"\n")[2]
    return begin + end, _decoded(path, last, "the last line")["id"]


def _decoded(path: Path, line: bytes, place: str) -> Entry:
    try:
        entry = _DECODER.decode(line)
    except ValueError as error:
        raise UsageError(f"{path} is damaged: {place} is not a report ({error}); move it away to continue") from error
    if "id" not in entry:
        raise UsageError(f"{path} is damaged: {place} has no id; move it away to continue")
    return {name: text_of(value) for name, value in entry.items()}
