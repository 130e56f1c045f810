"""Statistics over equally wide windows of an axis: means, slopes, rates. Pure.

Window i of width w holds i w <= x < (i + 1) w.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

MOST_WINDOWS = 40
"""A curve has at most this many points."""
TREND_WINDOWS = 8
"""Number of windows a slope is fitted to; with fewer, the noise of single groups dominates."""

Sample = tuple[float, float, float]
"""(x, sum of the values, weight): their weighted mean at x is sum / weight."""


def window_width(spans: Iterable[float]) -> int:
    """The smallest integer width with which the longest span takes at most `MOST_WINDOWS` windows."""
    return max(1, -int(-max(spans, default=0) // MOST_WINDOWS))


def window_means(samples: Iterable[Sample], width: float) -> dict[int, float]:
    """Window -> weighted mean, sum of sums / sum of weights. A window without weight has no entry."""
    totals: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for x, amount, weight in samples:
        total = totals[int(x // width)]
        total[0] += amount
        total[1] += weight
    return {i: amount / weight for i, (amount, weight) in sorted(totals.items()) if weight}


def slopes(samples: Iterable[Sample], width: float, num_windows: int) -> dict[int, float]:
    """Window -> change of the value per unit of x, fitted to the `TREND_WINDOWS` windows that end with it.

    The slope of weighted least squares of sum / weight over x, for windows below `num_windows`. A window has no entry
    when its samples have fewer than two different x.
    """
    by_window: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_window[int(sample[0] // width)].append(sample)
    fitted = {
        i: [sample for j in range(i + 1 - TREND_WINDOWS, i + 1) for sample in by_window[j]]
        for i in range(TREND_WINDOWS - 1, num_windows)
    }
    return {i: _slope(inside) for i, inside in fitted.items() if len({x for x, _, weight in inside if weight}) > 1}


def _slope(samples: Sequence[Sample]) -> float:
    """sum w (x - mean) y / sum w (x - mean)^2, where w y is the sum of a sample."""
    mean = sum(x * weight for x, _, weight in samples) / sum(weight for _, _, weight in samples)
    variation = sum(weight * (x - mean) ** 2 for x, _, weight in samples)
    return sum((x - mean) * amount for x, amount, _ in samples) / variation


def first_reached(means: Mapping[int, float], threshold: float) -> int | None:
    """The first window whose mean is at least `threshold`; None: no window's is."""
    return next((i for i, value in sorted(means.items()) if value >= threshold), None)


def rate_by_time(events: Sequence[tuple[float, float]], width_s: float) -> dict[int, float]:
    """Window -> amount per second. `events`: (second, amount). Windows count from the first event; a last incomplete
    window is left out."""
    if not events:
        return {}
    start = min(second for second, _ in events)
    num_whole = int((max(second for second, _ in events) - start) // width_s)
    totals = dict.fromkeys(range(num_whole), 0.0)
    for second, amount in events:
        if (window := int((second - start) // width_s)) in totals:
            totals[window] += amount
    return {window: amount / width_s for window, amount in totals.items()}


def common_windows(seeds: Sequence[Mapping[int, object]]) -> list[int]:
    """The windows in which every seed has a value, ascending."""
    return sorted(set[int]().union(*seeds).intersection(*seeds))
