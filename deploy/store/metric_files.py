"""The reports of a run as files in its folder. Redis keeps only the newest reports, the files keep all of them.

    metrics/ROOM.jsonl   every report of the room in wire form, oldest first, one a line; `id` is its entry id

The driver is the only writer. A driver that is killed while it writes a line leaves an incomplete one: readers ignore
it, and the next driver cuts it off and appends what follows the last whole line. When the disk is full, the reports
are written at a later look.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from broker.errors import UsageError
from broker.metrics import Metrics
from broker.reports import ACTORS, GROUPS, LEARNER, PREPROCESS, R, is_a, read

log = logging.getLogger(__name__)

ROOMS = (ACTORS, GROUPS, PREPROCESS, LEARNER)
"""Those that the driver writes to files while the run trains."""
Entry = dict[str, str]
"""A report in wire form, its entry id under `id`."""
_DECODER = msgspec.json.Decoder(Entry)
_TAIL_BYTES = 1 << 20
"""The last line of a file is looked for in its last bytes; no report is nearly as long."""


def path_of(folder: Path, room: str) -> Path:
    """`folder`: the metrics of a run (`RunFolder.metrics`)."""
    return folder / f"{room}.jsonl"


class MetricFile:
    """The file of one room, for its writer."""

    def __init__(self, path: Path, metrics: Metrics) -> None:
        """Raises UsageError when the last whole line of an existing file is no report."""
        self._path, self.room, self._metrics = path, path.stem, metrics
        self._end, self._last_id = _tail(path)
        self._refused = False
        with path.open("ab") as file:  # a room without reports gets an empty file
            file.truncate(self._end)

    def follow(self) -> list[Entry]:
        """Append the reports since the last call, and return them; none when the disk is full."""
        fresh = self._metrics.entries(self.room, _after(self._last_id))
        return fresh if fresh and self._append(fresh) else []

    def _append(self, entries: list[Entry]) -> bool:
        lines = b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)
        try:
            with self._path.open("ab") as file:
                file.write(lines)
        except OSError as error:
            os.truncate(self._path, self._end)  # a part of the lines may have been written
            if not self._refused:
                log.warning("%s cannot be written for now: %s", self._path, error)
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
        if is_a(kind, entry):
            try:
                yield read(kind, entry)
            except msgspec.ValidationError as error:
                path = path_of(folder, kind.room)
                raise UsageError(f"{path} is damaged: report {entry['id']}: {error}; move it away to go on") from error


def read_entries(folder: Path, room: str, metrics: Metrics | None = None) -> Iterator[Entry]:
    """The same in wire form, all kinds of a room."""
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


def _after(last_id: str) -> str:
    return f"({last_id}" if last_id else "-"


def _tail(path: Path) -> tuple[int, str]:
    """(bytes up to the end of the last whole line, the id in that line); (0, "") without one."""
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
        raise UsageError(f"{path} is damaged: {place} is no report ({error}); move it away to go on") from error
    if "id" not in entry:
        raise UsageError(f"{path} is damaged: {place} has no id; move it away to go on")
    return entry
