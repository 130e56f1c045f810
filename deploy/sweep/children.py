"""Runs as child processes on this machine."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from deploy.cluster.interrupts import die_with_parent

TAIL_BYTES = 8192
KILL_TIMEOUT_S = 20.0
"""Time a run has to end its Ray and its Redis before it is killed."""


class Child(Protocol):
    """A run that was started, as a process or as a job."""

    def poll(self) -> int | None:
        """The exit code; None while it runs."""

    def last_line(self) -> str:
        """The last line it printed."""

    def interrupt(self) -> None:
        """Ask it to stop gracefully; a second call ends it at once."""

    def terminate(self) -> None:
        """Interrupt it and wait until it has ended; kill it after a time-out."""


class Process:
    """`python -m deploy.train WORDS` on this machine. It ends when this process does."""

    def __init__(self, words: Sequence[str], log: Path) -> None:
        """Starts it; its output is appended to `log`."""
        self._log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "deploy.train", *words],  # -P: no package of this folder shadows a room
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that Ctrl-C reaches it once, from `interrupt`, not from the terminal too
                preexec_fn=die_with_parent(),
            )

    def poll(self) -> int | None:
        return self._process.poll()

    def last_line(self) -> str:
        with self._log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = [line.strip() for line in log.read().decode(errors="replace").splitlines()]
        return next((line for line in reversed(lines) if line), "")

    def interrupt(self) -> None:
        if self.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def terminate(self) -> None:
        self.interrupt()
        try:
            self._process.wait(KILL_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
