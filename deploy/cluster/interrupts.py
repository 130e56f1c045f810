"""Ctrl-C and SIGTERM: the first stops the run gracefully, the second at once. Children end with their parent."""

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
"""Prefix of the reason of a run that a signal ended; the signal's name follows."""


class Interrupted(PopeError):
    """A signal ended the command."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.exit_code = 128 + number


class Stoppable(Protocol):
    """Can be stopped gracefully."""

    def stop(self, reason: str) -> None: ...


class Interrupts:
    """Signal handlers, for as long as the context lasts. Enter it after `ray.init`, which installs handlers of its own.

    Outside `graceful` a signal ends the context with Interrupted at once. Within, the handler raises KeyboardInterrupt:
    Ray lets no other exception of a handler out of `ray.get` and `ray.wait`.
    """

    def __init__(self) -> None:
        self.requested: int | None = None
        """The last signal that arrived, if any."""
        self._control: Stoppable | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupts":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self.raise_if_requested()

    @contextmanager
    def graceful(self, control: Stoppable) -> Iterator[None]:
        """While this lasts the first signal calls `control.stop` instead of raising; a second one raises."""
        self._control = control
        try:
            yield
        finally:
            self._control = None

    def raise_if_requested(self) -> None:
        """Raises Interrupted if a signal has arrived."""
        if self.requested is not None:
            raise Interrupted(self.requested)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        second = self.requested is not None
        self.requested = number
        if second or self._control is None:
            raise KeyboardInterrupt
        self._control.stop(REASON + signal.Signals(number).name)


def die_with_parent() -> Callable[[], None] | None:
    """A `preexec_fn` for a child that gets SIGTERM when the thread that started it ends; None outside Linux."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up here: a forked child should not load libraries
    parent = os.getpid()

    def set_death_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the call above
            os._exit(1)

    return set_death_signal
