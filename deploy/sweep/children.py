"""Runs as child processes of this one."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from deploy.cluster.interrupts import die_with_parent

TAIL_BYTES = 8192
KILL_PATIENCE_S = 20.0
"""A run that is told to end at once takes down its Ray and its Redis in this time."""


class Child(Protocol):
    """A run that was started."""

    def poll(self) -> int | None:
        """The exit code once it has ended."""

    def last_line(self) -> str:
        """What it printed last."""

    def interrupt(self) -> None:
        """Ask it to end in order; asked a second time it ends now."""

    def end(self) -> None:
        """Have it gone when this returns."""


class Process:
    """`python -m deploy.train WORDS` on this machine; it ends when this process does."""

    def __init__(self, words: Sequence[str], log: Path) -> None:
        """Appends what it prints to `log`."""
        self._log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "deploy.train", *words],  # -P: no package of this folder hides a room
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C comes once, through us, not from the terminal as well
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

    def end(self) -> None:
        self.interrupt()
        try:
            self._process.wait(KILL_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
