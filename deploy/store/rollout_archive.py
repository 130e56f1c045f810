"""Archive of the rollouts of a sampling stage, with the list of results from which the stage resumes.

    NAME.rollouts     concatenated RolloutGroup frames (`broker/records.py`)
    NAME.results      one JSON line per group: group id, position of its frame, its counts

The frame of a group is written and synced before its line. A process that dies in between, or during a write, leaves an
incomplete end, which the next process removes: that group is still on the rollout stream and is delivered again.
"""

import os
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

import msgspec

from actors.evaluation.results import Result, result_of
from broker.errors import PopeError
from broker.records import Record, RolloutGroup, decode


class Entry(Record, frozen=True, rename={"group_id": "ordinal"}):
    """One group of the archive."""

    group_id: int
    offset: int
    """Offset of its frame, bytes."""
    size: int
    """Size of its frame, bytes."""
    result: Result


class RolloutArchive:
    """Writes an archive. The process must hold the lock of the run folder."""

    def __init__(self, path: Path) -> None:
        """`path`: without the suffix. Raises PopeError when frames listed in NAME.results are missing."""
        self._rollouts = path.with_name(path.name + ".rollouts")
        self._results = path.with_name(path.name + ".results")
        self.entries: dict[int, Entry] = {}
        """Group id -> its entry on the disk."""
        path.parent.mkdir(parents=True, exist_ok=True)
        end = self._read_results()
        present = self._rollouts.stat().st_size if self._rollouts.exists() else 0
        if present < end:
            raise PopeError(
                f"{self._rollouts} has {present} bytes, but {self._results.name} needs {end}: the archive is damaged; "
                "move the folder away and start again"
            )
        self._frames = self._rollouts.open("ab")
        self._frames.truncate(end)
        self._lines = self._results.open("ab")

    def add(self, groups: Sequence[tuple[RolloutGroup, bytes]], source: str) -> list[Entry]:
        """Writes groups and their frames to the disk, except those already archived; returns the new entries."""
        if not groups:
            return []
        fresh: list[Entry] = []
        offset = self._frames.seek(0, os.SEEK_END)
        for group, frame in groups:
            if group.group_id not in self.entries:
                self._frames.write(frame)
                result = result_of(group.problem_id, source, group.rollouts)
                entry = Entry(group_id=group.group_id, offset=offset, size=len(frame), result=result)
                self.entries[group.group_id] = entry
                fresh.append(entry)
                offset += len(frame)
        _durable(self._frames)
        self._lines.write(b"".join(msgspec.json.encode(entry) + b"\n" for entry in fresh))
        _durable(self._lines)
        return fresh

    def close(self) -> None:
        self._frames.close()
        self._lines.close()

    def _read_results(self) -> int:
        """Fills `entries` and removes an incomplete last line; returns the end of the last frame that has a line."""
        content = self._results.read_bytes() if self._results.exists() else b""
        whole = content.rfind(b"\n") + 1
        decoder = msgspec.json.Decoder(Entry)
        for line in content[:whole].splitlines():
            entry = decoder.decode(line)
            self.entries[entry.group_id] = entry
        if whole < len(content):
            os.truncate(self._results, whole)
        return max((entry.offset + entry.size for entry in self.entries.values()), default=0)


def read_rollouts(path: Path, problems: Container[str] | None = None) -> Iterator[RolloutGroup]:
    """The groups of an archive in the order they were added, only those of `problems` if given.

    `path`: without the suffix. Another process may be writing: an incomplete last line is ignored.
    """
    content = path.with_name(path.name + ".results").read_bytes()
    decoder = msgspec.json.Decoder(Entry)
    entries = [decoder.decode(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]
    with path.with_name(path.name + ".rollouts").open("rb") as frames:
        for entry in sorted(entries, key=lambda entry: entry.offset):
            if problems is None or entry.result.problem_id in problems:
                frames.seek(entry.offset)
                yield decode(frames.read(entry.size), RolloutGroup)


def _durable(file: object) -> None:
    file.flush()  # type: ignore[attr-defined]
    os.fsync(file.fileno())  # type: ignore[attr-defined]
