"""Resident memory of a process with its descendants, read from /proc."""

import os
import time
from collections import defaultdict
from pathlib import Path

_PROC = Path("/proc")
_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20
SEARCH_EVERY_S = 30.0
"""Time between two searches for descendants, seconds: a search reads one file of every process of the machine."""


class ResidentMemory:
    """The memory of this process and of the processes it started."""

    def __init__(self) -> None:
        self._processes: list[int] = []
        self._searched_at = float("-inf")

    def mib(self) -> float:
        """MiB of physical memory; a page that processes share counts for each. A process that ended counts 0."""
        if time.monotonic() - self._searched_at >= SEARCH_EVERY_S:
            self._processes, self._searched_at = family(os.getpid()), time.monotonic()
        return round(sum(map(_resident_mib, self._processes)), 1)


def family(pid: int) -> list[int]:
    """A process, and every process it started directly or indirectly and that runs now."""
    children = defaultdict(list)
    for path in _PROC.glob("[0-9]*/stat"):
        if stat := _read(path):
            _, parent = stat.rpartition(")")[2].split()[:2]  # the name before the parenthesis may contain anything
            children[int(parent)].append(int(path.parent.name))
    found = [pid]
    for each in found:
        found += children[each]
    return found


def _resident_mib(pid: int) -> float:
    fields = _read(_PROC / str(pid) / "statm").split()
    return int(fields[1]) * _PAGE_MIB if fields else 0.0


def _read(path: Path) -> str:
    """The content of a file under /proc; empty when its process has ended."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
