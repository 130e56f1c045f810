"""Rates of counters, and the time since each last grew. Pure: the caller passes the time."""

from collections import deque
from collections.abc import Mapping

WINDOW_S = 10.0
"""A rate is a mean over about this time."""


class Rates:
    """Rates of several counters, by name."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, Mapping[str, int]]] = deque()
        self._moved_s: dict[str, float] = {}

    def add(self, now_s: float, totals: Mapping[str, int]) -> None:
        """Add one reading of all counters, taken at `now_s`."""
        if self._readings:
            before = self._readings[-1][1]
            self._moved_s.update({name: now_s for name, total in totals.items() if total != before.get(name)})
        self._readings.append((now_s, dict(totals)))
        while len(self._readings) > 2 and now_s - self._readings[1][0] >= WINDOW_S:
            self._readings.popleft()

    def per_s(self, name: str) -> float | None:
        """Growth per second; None before the second reading."""
        (t0, first), (t1, last) = self._readings[0], self._readings[-1]
        return (last[name] - first.get(name, 0)) / (t1 - t0) if t1 > t0 else None

    def idle_s(self, name: str) -> float | None:
        """Seconds since the counter last grew; None when it has not grown yet."""
        moved_s = self._moved_s.get(name)
        return None if moved_s is None else self._readings[-1][0] - moved_s
