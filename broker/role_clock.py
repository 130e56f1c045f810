"""Where the time of a role goes: seconds by phase, which add up to its wall time.

A role that does one thing at a time is in one phase. An actor samples many groups at once; it is in several phases,
each with the share of the engine's room for groups that is in it. What no phase names is `other`. To enter a phase
takes three microseconds, and a report goes out at most every `REPORT_EVERY_S` seconds.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from broker.reports import OTHER, RoleTimes
from broker.resident_memory import ResidentMemory

REPORT_EVERY_S = 2.0
"""Shortest time between two reports of a role, seconds."""


class RoleClock:
    """The phases of one role since its last report. Used by one thread."""

    def __init__(self, role: str, *, now: Callable[[], float] = time.perf_counter) -> None:
        """`role`: name of the role, such as `learner-0`. `now`: a clock in seconds that never goes back."""
        self._role, self._now = role, now
        self._memory = ResidentMemory()
        self._within: list[str] = []
        self._shares: Mapping[str, float] = {OTHER: 1.0}
        self.restart()

    def restart(self) -> None:
        """Forgets the time so far; the phase stays."""
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._at = self._began = self._now()

    def enter(self, phase: str) -> None:
        """The whole role is in `phase` from now on."""
        self.share({phase: 1.0})

    def share(self, shares: Mapping[str, float]) -> None:
        """From now on the role is in these phases; a rest to 1 is `other`."""
        rest = 1.0 - sum(shares.values())
        assert rest > -1e-9, f"shares of a role sum to at most 1: {shares}"
        self._advance()
        self._shares = {**shares, OTHER: shares.get(OTHER, 0.0) + max(0.0, rest)}

    @contextmanager
    def within(self, phase: str) -> Iterator[None]:
        """The whole role is in `phase` during the block, whatever it enters meanwhile; afterwards it is in that."""
        self._advance()
        self._within.append(phase)
        try:
            yield
        finally:
            self._advance()
            self._within.pop()

    @property
    def due(self) -> bool:
        """Whether the last report is `REPORT_EVERY_S` seconds old."""
        return self._now() - self._began >= REPORT_EVERY_S

    def report(self) -> RoleTimes:
        """The time since the last report, and the memory of this process now."""
        self._advance()
        seconds = {phase: round(s, 6) for phase, s in self._seconds.items() if s}
        self._seconds, self._began = defaultdict(float), self._at
        return RoleTimes(
            role=self._role, wall_s=round(sum(seconds.values()), 6), seconds=seconds, memory_mib=self._memory.mib()
        )

    def _advance(self) -> None:
        now = self._now()
        passed_s, self._at = now - self._at, now
        for phase, share in {self._within[-1]: 1.0}.items() if self._within else self._shares.items():
            self._seconds[phase] += share * passed_s
