"""Means with 95 % intervals: over seeds by Student's t, over problems by the bootstrap. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import cos, pi, sin, sqrt, tan
from statistics import fmean, stdev
from typing import Literal, NamedTuple

from actors.evaluation.pass_at_k import bootstrap_mean, pass_at_k
from actors.evaluation.results import Result

CONFIDENCE = 0.95
Method = Literal["t over seeds", "bootstrap over problems", "none"]
NO_INTERVAL: Method = "none"
METHODS = "t over seeds; for a single seed, or when all seeds agree, bootstrap over problems"
"""How `over_seeds_of_problems` computes intervals, for captions."""


class Estimate(NamedTuple):
    """A mean with the ends of its 95 % interval; None where there is no interval."""

    mean: float
    lower: float | None
    upper: float | None
    values: tuple[float, ...]
    """One per seed."""
    method: Method

    @property
    def seeds(self) -> int:
        return len(self.values)

    @property
    def interval(self) -> tuple[float, float] | None:
        """(lower, upper); None: there is no interval."""
        return None if self.lower is None or self.upper is None else (self.lower, self.upper)

    @property
    def text(self) -> str:
        """In percent, for example: 93.4 [91.0, 95.8]."""
        if self.interval is None:
            return f"{100 * self.mean:.1f}"
        lower, upper = self.interval
        return f"{100 * self.mean:.1f} [{100 * lower:.1f}, {100 * upper:.1f}]"


def over_seeds(values: Sequence[float], low: float = float("-inf"), high: float = float("inf")) -> Estimate:
    """The mean of one value per seed with its t interval, mean -+ t s / sqrt(n), clipped to [low, high].

    A single seed has no interval. Raises ValueError when `values` is empty.
    """
    if not values:
        raise ValueError("a mean needs at least one value")
    mean = fmean(values)
    if len(values) == 1:
        return Estimate(mean, None, None, (mean,), NO_INTERVAL)
    half_width = student_t(len(values) - 1) * stdev(values) / sqrt(len(values))
    return Estimate(mean, max(low, mean - half_width), min(high, mean + half_width), tuple(values), "t over seeds")


def over_problems(values: Sequence[float]) -> Estimate:
    """The mean of one value in [0, 1] per problem with its bootstrap interval (`actors/evaluation/pass_at_k.py`)."""
    interval, mean = bootstrap_mean(values, confidence=CONFIDENCE), fmean(values)
    return Estimate(mean, interval.lower, interval.upper, (mean,), "bootstrap over problems")


def score(seeds: Sequence[Sequence[Result]], k: int) -> Estimate | None:
    """Mean pass@k over problems and seeds, by `over_seeds_of_problems`. None when no problem has k judged samples.

    `seeds`: the results of each seed.
    """
    by_seed = [
        {r.problem_id: pass_at_k(r.judged, r.successes, k) for r in results if r.judged >= k} for results in seeds
    ]
    by_seed = [values for values in by_seed if values]
    return over_seeds_of_problems(by_seed) if by_seed else None


def over_seeds_of_problems(by_seed: Sequence[Mapping[str, float]]) -> Estimate:
    """The mean of values in [0, 1] over problems and seeds, with a t interval over seeds; bootstrap for a single seed.

    `by_seed`: problem id -> value, for each seed. When all seeds have the same mean, for example 0, the t interval has
    no width; the interval is then the bootstrap over the problems of all seeds. A problem of several seeds is resampled
    with all of its values, because they are not independent. (Ids of the built-in domain contain the seed, so its
    problems differ between seeds.)
    """
    means = [fmean(values.values()) for values in by_seed]
    if min(means) == max(means):
        return over_problems(_by_problem(by_seed))._replace(mean=means[0], values=tuple(means))
    return over_seeds(means, 0.0, 1.0)


def _by_problem(by_seed: Sequence[Mapping[str, float]]) -> list[float]:
    """The mean of each problem over its seeds, ascending by id, so that resampling does not depend on input order."""
    together: dict[str, list[float]] = defaultdict(list)
    for values in by_seed:
        for id, value in values.items():
            together[id].append(value)
    return [fmean(together[id]) for id in sorted(together)]


@lru_cache
def student_t(degrees: int, confidence: float = CONFIDENCE) -> float:
    """The t with Pr[|T| <= t] = confidence for Student's T of `degrees` degrees of freedom.

    With t = sqrt(n) tan(a) the probability is a finite sum of cosines (Abramowitz and Stegun 26.7.3, 26.7.4), so it is
    exact. It increases with a, which is found by bisection. Raises ValueError unless degrees >= 1 and
    0 < confidence < 1.
    """
    if degrees < 1 or not 0 < confidence < 1:
        raise ValueError(f"Student's t needs degrees >= 1 and 0 < confidence < 1, got {degrees} and {confidence}")
    low, high = 0.0, pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _mass(middle, degrees) < confidence else (low, middle)
    return sqrt(degrees) * tan(low)


def _mass(angle: float, degrees: int) -> float:
    """Pr[|T| <= sqrt(degrees) tan(angle)]."""
    term = cos(angle) if degrees % 2 else 1.0
    total = term if degrees > 1 else 0.0
    for power in range(2 + degrees % 2, degrees - 1, 2):
        term *= (power - 1) / power * cos(angle) ** 2
        total += term
    return 2 / pi * (angle + sin(angle) * total) if degrees % 2 else sin(angle) * total
