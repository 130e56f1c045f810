"""The lock of an embedded server's folder: at most one server runs over its data."""

import fcntl
import os
import re
import socket
import time
from pathlib import Path
from typing import IO

from broker.errors import UsageError

TIMEOUT_S = 5.0
"""A server whose owner was killed needs a moment to write its file and release the lock."""


class RedisLock:
    """An exclusive file lock. The server inherits its descriptor, so it lasts until owner and server have ended."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Lock the folder and write the owner's process id to the lock file. Idempotent.

        Raises UsageError that names the present owner.
        """
        if self._file is None:
            self._file = self._open()
        self._file.seek(0)
        self._file.truncate()
        self._file.write(f"pid {os.getpid()} on {socket.gethostname()}\n")
        self._file.flush()

    def release(self) -> None:
        """Idempotent."""
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)  # for copies of the descriptor in forked children, too
            self._file.close()
            self._file = None

    def fileno(self) -> int:
        """The descriptor that the server inherits. The lock is held."""
        assert self._file is not None
        return self._file.fileno()

    def _open(self) -> IO[str]:
        file = open(os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600), "r+")  # noqa: SIM115 - stays open
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return file
            except BlockingIOError:
                owner = file.read().strip() or "an unknown process"
                file.seek(0)
                if not _has_exited(owner) or time.monotonic() > deadline:
                    file.close()
                    raise UsageError(
                        f"{self._folder} is in use by {owner}; stop that run, or give this one another run.name"
                    ) from None
                time.sleep(0.05)


def _has_exited(owner: str) -> bool:
    """Whether the owner named in a lock was a process of this machine that no longer runs."""
    match = re.fullmatch(r"pid (\d+) on (.+)", owner)
    if match is None or match[2] != socket.gethostname():
        return False
    try:
        os.kill(int(match[1]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    try:
        stat = Path(f"/proc/{match[1]}/stat").read_text()
    except OSError:  # no /proc here, or the process ended just now: the lock itself decides
        return False
    return stat.rpartition(")")[2].split()[0] == "Z"  # a zombie: ended, not yet reaped
