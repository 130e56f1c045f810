"""Ctrl-C and SIGTERM: the first asks the run to end in order, the second ends it now. And children end with us."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

from broker.errors import PopeError

_PR_SET_PDEATHSIG = 1
REASON = "interrupted by "
"""How the reason of a run that a signal ended begins; the signal's name follows."""


class Interrupted(PopeError):
    """A signal ended the command."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.exit_code = 128 + number


class Stoppable(Protocol):
    """What can be asked to end in order, and why."""

    def stop(self, reason: str) -> None: ...


class Interrupts:
    """Installed after `ray.init`, which replaces handlers that were there before it.

    Outside `graceful` a signal raises Interrupted at once: there is nothing to wind down yet.
    """

    def __init__(self) -> None:
        self.requested: int | None = None
        """The signal that asked for the end, if one did."""
        self._control: Stoppable | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupts":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def graceful(self, control: Stoppable) -> Iterator[None]:
        """While this lasts the first signal stops `control`, and what it controls finishes what it does."""
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


def die_with_parent() -> Callable[[], None] | None:
    """A child's `preexec_fn`: it asks the kernel for SIGTERM when the thread that started it ends."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up here: the child of a fork should not load libraries
    parent = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it died before the kernel knew
            os._exit(1)

    return ask
