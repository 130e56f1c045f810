"""What the rooms report, from the run's Redis into its folder while the run goes on: Redis holds only the newest.

    metrics/ROOM.jsonl   every report of the room, oldest first, one a line; `id` is its place in the stream

The driver is the only writer. One that dies in the middle of a line leaves a torn end: readers pass over it, the next
driver cuts it off and goes on behind the line before. What a full disk does not take is tried again at the next look.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from broker.errors import UsageError
from broker.metrics import Metrics

log = logging.getLogger(__name__)

ROOMS = ("actors", "groups", "preprocess", "learner")
Report = dict[str, str]
_DECODER = msgspec.json.Decoder(Report)
_TAIL_BYTES = 1 << 20
"""The last line of a file is sought in so much of it; no report is nearly as long."""


def path_of(folder: Path, room: str) -> Path:
    """`folder`: the metrics of a run (`RunFolder.metrics`)."""
    return folder / f"{room}.jsonl"


class MetricFile:
    """The file of one room, for its writer."""

    def __init__(self, path: Path, metrics: Metrics) -> None:
        """Raises UsageError when the last whole line that is there is no report."""
        self._path, self.room, self._metrics = path, path.stem, metrics
        self._end, self._last_id = _tail(path)
        self._refused = False
        with path.open("ab") as file:  # a room that reports nothing leaves an empty file
            file.truncate(self._end)

    def follow(self) -> list[Report]:
        """What the room reported since the last call; in the file by now."""
        fresh = self._metrics.read(self.room, _behind(self._last_id))
        return fresh if fresh and self._append(fresh) else []

    def _append(self, reports: list[Report]) -> bool:
        lines = b"".join(msgspec.json.encode(report) + b"\n" for report in reports)
        try:
            with self._path.open("ab") as file:
                file.write(lines)
        except OSError as error:
            os.truncate(self._path, self._end)  # the disk had room for a part of it
            if not self._refused:
                log.warning("%s cannot be written for now: %s", self._path, error)
            self._refused = True
            return False
        self._end += len(lines)
        self._last_id = reports[-1]["id"]
        self._refused = False
        return True


def read_reports(folder: Path, room: str, metrics: Metrics | None = None) -> Iterator[Report]:
    """All reports of a room, oldest first: those in the file, then those that only Redis has so far.

    Raises UsageError for a line that is no report.
    """
    path, last_id = path_of(folder, room), ""
    if path.exists():
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.endswith(b"\n"):
                    report = _decoded(path, line, f"line {number}")
                    last_id = report["id"]
                    yield report
    if metrics is not None:
        yield from metrics.read(room, _behind(last_id))


def _behind(last_id: str) -> str:
    return f"({last_id}" if last_id else "-"


def _tail(path: Path) -> tuple[int, str]:
    """(bytes up to the end of the last whole line, the id in that line); (0, "") without one."""
    if not path.exists():
        return 0, ""
    with path.open("rb") as file:
        begin = max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES)
        file.seek(begin)
        read = file.read()
    end = read.rfind(b"\n") + 1
    if not begin + end:
        return 0, ""
    last = read[:end].removesuffix(b"\n").rpartition(b"\n")[2]
    return begin + end, _decoded(path, last, "the last line")["id"]


def _decoded(path: Path, line: bytes, place: str) -> Report:
    try:
        report = _DECODER.decode(line)
    except ValueError as error:
        raise UsageError(f"{path} is damaged: {place} is no report ({error}); move it away to go on") from error
    if "id" not in report:
        raise UsageError(f"{path} is damaged: {place} has no id; move it away to go on")
    return report
