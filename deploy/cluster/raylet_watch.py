"""Notices that the raylet of a local Ray has ended: its roles work on, but nobody can stop or restart them."""

from contextlib import suppress
from pathlib import Path

from broker.errors import PopeError

NAME = "raylet"


class RayletLost(PopeError):
    """The raylet has ended."""


class RayletWatch:
    """The raylet that this process has started, if there is one. Linux only."""

    def __init__(self) -> None:
        self._pid = next(iter(_children(NAME)), None)

    def __call__(self) -> None:
        """Raises RayletLost."""
        if self._pid is not None and self._pid not in _children(NAME):
            raise RayletLost(
                "Ray's raylet has ended, so roles can neither be watched nor restarted; continue with run.resume=true"
            )


def _children(name: str) -> list[int]:
    """Process ids of the living children of this process with this name."""
    found = []
    for thread in Path("/proc/self/task").glob("*"):
        with suppress(OSError):  # the thread has ended
            found += [int(pid) for pid in (thread / "children").read_text().split() if _lives_as(int(pid), name)]
    return found


def _lives_as(pid: int, name: str) -> bool:
    try:
        before, _, after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except OSError:
        return False
    return before.partition("(")[2] == name and after.split()[0] != "Z"
