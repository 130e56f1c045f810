"""Ctrl-C and SIGTERM: the first asks the run to end in order, the second ends it now."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from broker.errors import PopeError
from broker.metrics import Control

REASON = "interrupted by "
"""How the reason of a run that a signal ended begins; the signal's name follows."""


class Interrupted(PopeError):
    """A signal ended the command."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.exit_code = 128 + number


class Interrupts:
    """Installed after `ray.init`, which replaces handlers that were there before it.

    Outside `graceful` a signal raises Interrupted at once: there is nothing to wind down yet.
    """

    def __init__(self) -> None:
        self.requested: int | None = None
        """The signal that asked for the end, if one did."""
        self._control: Control | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupts":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def graceful(self, control: Control) -> Iterator[None]:
        """While this lasts the first signal sets the stop flag, and the roles finish what they do."""
        self._control = control
        try:
            yield
        finally:
            self._control = None

    def raise_if_requested(self) -> None:
        """Raises Interrupted once a signal has asked for the end."""
        if self.requested is not None:
            raise Interrupted(self.requested)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        second = self.requested is not None
        self.requested = number
        if second or self._control is None:
            raise Interrupted(number)
        self._control.stop(REASON + signal.Signals(number).name)
