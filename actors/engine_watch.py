"""Notices an engine that no longer answers, without mistaking a busy one for it.

Beside generation the engine is asked a question that its core answers between two steps. Without an answer, how long it
is waited for depends on what the engine's processes do: nothing is expected of one that was stopped; one that only
waits may wait for a busy machine; one that computes may be in a long step.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker.errors import PopeError

STOPPED_S = 8.0
"""Longest silence of an engine one of whose processes is stopped, seconds."""
IDLE_S = 30.0
"""Longest silence of an engine that does not compute, seconds."""
HUNG_S = 120.0
"""Longest silence of an engine that computes, seconds."""
ABSENCE_S = 3.0
"""After so long without a check this process itself was not running, and an answer may be waiting unread, seconds."""
IDLE_SHARE = 0.01
"""An engine that used less than this share of one processor does not compute; its helper threads wake now and then."""


class EngineSilent(PopeError):
    """The engine's process exists and does not answer."""


@dataclass(frozen=True)
class Activity:
    """What processes and their descendants do at a moment."""

    used_s: float
    """Processor time so far, seconds."""
    ready: bool
    """Whether a thread runs, or waits for a processor or a disk."""
    stopped: bool
    """Whether all threads of one of the processes are stopped by a signal."""


class EngineWatch:
    """The questions to one engine."""

    def __init__(
        self,
        ask: Callable[[], Awaitable[Any]],
        processes: Callable[[], Iterable[int]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`ask`: returns once the engine has answered. `processes`: ids of the engine's processes."""
        self._ask, self._processes, self._clock = ask, processes, clock
        self._question: asyncio.Future[Any] | None = None
        self._checked_s = 0.0
        self._asked_s = 0.0
        self._worked_s, self._used_s = 0.0, 0.0
        """When the engine was last seen to compute, and its processor time then."""
        self._ran_s = 0.0
        """When none of its processes was stopped last."""

    async def check(self, *, waits_for_others: bool = False) -> None:
        """Asks the engine, unless a question is open. Raises EngineSilent, or the error of the last question.

        `waits_for_others`: the engine is in a collective with other processes, and its silence proves nothing.
        """
        now = self._clock()
        absent, self._checked_s = now - self._checked_s > ABSENCE_S, now
        if self._question is None or self._question.done():
            if self._question is not None:
                self._question.result()
            self._question = asyncio.ensure_future(self._ask())
            self._question.add_done_callback(_mark_as_seen)  # nobody may look when the actor has ended
            self._start_waiting(now)
        elif waits_for_others or absent:
            self._start_waiting(now)
        else:
            self._require_life(now)

    def close(self) -> None:
        """Ask no more."""
        if self._question is not None:
            self._question.cancel()

    def _start_waiting(self, now: float) -> None:
        self._asked_s = self._worked_s = self._ran_s = now
        self._used_s = activity(self._processes()).used_s

    def _require_life(self, now: float) -> None:
        """Raises EngineSilent."""
        found = activity(self._processes())
        if found.ready or found.used_s - self._used_s > IDLE_SHARE * max(now - self._worked_s, 1.0):
            self._worked_s, self._used_s = now, found.used_s
        if not found.stopped:
            self._ran_s = now
        if now - self._ran_s > STOPPED_S:
            raise EngineSilent(f"the engine was stopped (SIGSTOP) and answered nothing for {STOPPED_S:g} s")
        if now - self._worked_s > IDLE_S:
            raise EngineSilent(f"the engine hangs: it answered nothing and computed nothing for {IDLE_S:g} s")
        if now - self._asked_s > HUNG_S:
            raise EngineSilent(f"the engine hangs: it computed, but answered nothing for {HUNG_S:g} s")


def _mark_as_seen(question: asyncio.Future[Any]) -> None:
    if not question.cancelled():
        question.exception()


def activity(processes: Iterable[int]) -> Activity:
    """What these processes and their descendants do. Linux; elsewhere they always seem to compute."""
    if not Path("/proc/self/task").exists():
        return Activity(0.0, ready=True, stopped=False)
    used_ns, ready, stopped = 0, False, False
    pending = list(processes)
    while pending:
        states: set[str] = set()
        for thread in Path(f"/proc/{pending.pop()}/task").glob("*"):
            with suppress(OSError):  # it has ended meanwhile
                states.add((thread / "stat").read_text().rpartition(")")[2].split()[0])
                used_ns += int((thread / "schedstat").read_text().split()[0])
                pending += map(int, (thread / "children").read_text().split())
        ready = ready or bool(states & {"R", "D"})
        stopped = stopped or states in ({"T"}, {"t"})
    return Activity(used_ns / 1e9, ready=ready, stopped=stopped)
