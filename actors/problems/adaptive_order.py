"""The order in which an arm draws its problems when some teach more than others. Pure.

The weight of a problem says how often it is to be drawn, relative to uniform sampling:

    weight = floor + (1 - floor) * chance^focus / mean of chance^focus over the arm          mean 1, >= floor

with the chance that a group has a gradient (`solve_rates.py`).

The age of a problem is the number of draws of the arm since its last one. A draw takes the problem with the largest
age * weight. No chance is involved: a problem of weight w is drawn every P / w draws (P problems), and problems of
equal weights are drawn in turn, in the order of the first epoch of uniform sampling. A weight that rises takes effect
at the next draw.

Bound: a problem with an age of P / floor is overdue, and overdue problems are drawn first, the oldest first. At most
P - 1 others can be older, so no problem waits longer than P / floor + P draws of its arm: with floor 0.25 and 128
problems 640 draws. (A problem whose group is still in flight waits for the end of that group.) A problem that the
policy solves always or never comes back by this bound, and earlier by forgetting: its posterior drifts to the mean of
the arm, so that after a while it is rated as the arm is, not as it once was.

Every group records the share of its problem: P / age, the frequency with which it was really drawn since its last
group, relative to uniform sampling. Over a window of T draws, the weights 1 / share of the groups of any problem sum to
T / P, up to its first and last group. The mean over groups with these weights thus counts every problem alike, however
often it was drawn: an estimate of the arm's success rate under uniform sampling. The choice does not bias it, because
the age is fixed before the group is sampled.
"""

import math
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray


def sampling_weights(chances: NDArray[np.float64], floor: float, focus: float) -> NDArray[np.float64]:
    """float64[P], mean 1, each at least `floor`. `chances`: float64[P], positive."""
    merits = (chances / chances.max()) ** focus
    weights: NDArray[np.float64] = floor + (1 - floor) * merits / merits.mean()
    return weights


class AdaptiveOrder:
    """The last draw of every problem of one arm. A problem is named by its index, a draw by its number, from 0 on."""

    def __init__(self, num_problems: int) -> None:
        """Problems are indexed in the order of the first epoch."""
        self._last = np.arange(num_problems) - num_problems
        """int64[P]: before its first draw, the number of the draw that a preceding epoch would have had."""

    def copy(self) -> "AdaptiveOrder":
        """An independent copy."""
        other = AdaptiveOrder(len(self._last))
        other._last = self._last.copy()
        return other

    def record(self, draw: int, problem: int) -> None:
        """Records that a draw took a problem."""
        self._last[problem] = draw

    def share(self, draw: int, problem: int) -> float:
        """The share that a group of this problem has when it is drawn now."""
        return len(self._last) / float(draw - self._last[problem])

    def choose(self, draw: int, weights: NDArray[np.float64], floor: float, in_flight: Collection[int]) -> int:
        """The problem of a draw. One that has a group in flight is taken only if all have."""
        ages = draw - self._last
        overdue = ages >= math.ceil(len(ages) / floor)
        priority = np.where(overdue, ages * 1e9, ages * weights)
        if len(in_flight) < len(ages):
            priority[list(in_flight)] = -1.0
        return int(np.argmax(priority))
