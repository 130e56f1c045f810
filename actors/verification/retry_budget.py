"""Bounds what second trials of comparisons may cost, so that many hostile answers do not double the verifier's work."""

import time
from collections.abc import Callable

SHARE = 0.1
"""Largest share of the time since the start that second trials may take, after the free ones."""
FREE_TRIALS = 10
"""Trials of a whole deadline that are not counted."""
MAX_KNOWN = 10_000
"""Number of comparisons that are remembered because they timed out twice."""


class RetryBudget:
    """Which comparisons may be tried a second time after a timeout."""

    def __init__(self, deadline_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_s = clock()
        self._spent_s = -FREE_TRIALS * deadline_s
        self._known: dict[str, None] = {}

    def allows(self, comparison: str) -> bool:
        """Whether a second trial is worth its time: not if the comparison timed out twice before."""
        return not self.is_known(comparison) and self._spent_s <= SHARE * (self._clock() - self._began_s)

    def is_known(self, comparison: str) -> bool:
        """Whether the comparison timed out twice before. Its CPU time is the same every time."""
        return comparison in self._known

    def add(self, comparison: str, took_s: float, timed_out: bool) -> None:
        """Counts a second trial."""
        self._spent_s += took_s
        if timed_out:
            self._known[comparison] = None
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]
