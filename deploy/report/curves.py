"""From what happened in a run to curves: means in windows, then over the seeds of an experiment. Pure."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from deploy.report.estimates import Estimate, over_seeds
from deploy.report.experiments import Experiment
from deploy.report.run_records import Group, News, RunRecords

MOST_WINDOWS = 40
"""A curve has at most so many points."""
TREND_WINDOWS = 8
"""A slope is taken over so many: over fewer steps the chance of single groups hides it."""
PAUSE_S = 60.0
"""A run that reports nothing for longer stood still."""

Sample = tuple[float, float, float]
"""(x, sum, weight): a mean of the values that were summed, at x."""


@dataclass(frozen=True)
class Point:
    """One point of a curve."""

    x: float
    y: Estimate


def window_width(spans: Iterable[float]) -> int:
    """The narrowest window of whole units with which the longest span takes at most `MOST_WINDOWS`."""
    return max(1, -int(-max(spans, default=0) // MOST_WINDOWS))


def window_means(samples: Iterable[Sample], width: float) -> dict[int, float]:
    """(x, sum, weight) -> window i, which holds i width <= x < (i + 1) width -> sum of sums / sum of weights.

    A window without weight has no value.
    """
    totals: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for x, amount, weight in samples:
        total = totals[int(x // width)]
        total[0] += amount
        total[1] += weight
    return {i: amount / weight for i, (amount, weight) in sorted(totals.items()) if weight}


def over_all_seeds(
    seeds: Sequence[Mapping[int, float]], x_of: Callable[[int], float], low: float = 0.0, high: float = float("inf")
) -> list[Point]:
    """The mean over the seeds wherever all of them have a value, so that no seed comes or goes within a curve.

    A seed without any value is no seed of the curve.
    """
    seeds = [seed for seed in seeds if seed]
    return [Point(x_of(i), over_seeds([seed[i] for seed in seeds], low, high)) for i in shared(seeds)]


def shared(seeds: Sequence[Mapping[int, object]]) -> list[int]:
    """The windows in which every seed has a value, ascending."""
    return sorted(set[int]().union(*seeds).intersection(*seeds))


def centre(width: float) -> Callable[[int], float]:
    """Window -> its middle."""
    return lambda i: (i + 0.5) * width


def end(width: float) -> Callable[[int], float]:
    """Window -> where it ends."""
    return lambda i: (i + 1) * width


def step_width(shown: Sequence[Experiment]) -> int:
    """Optimizer steps of one window: the same for every curve over steps."""
    return window_width(run.steps for each in shown for run in each.runs)


def step_curve(
    each: Experiment,
    width: int,
    samples: Callable[[RunRecords], Iterable[Sample]],
    low: float = 0.0,
    high: float = float("inf"),
) -> list[Point]:
    """Means in windows of `width` steps, then over the seeds."""
    seeds = []
    for run in each.runs:
        seeds.append(window_means(_within(run, samples(run)), width))
    return over_all_seeds(seeds, centre(width), low, high)


def slope_curve(each: Experiment, width: int, samples: Callable[[RunRecords], Iterable[Sample]]) -> list[Point]:
    """`slopes` in windows of `width` steps, each at the middle of what it is taken over, then over the seeds."""
    seeds = [slopes(_within(run, samples(run)), width, run.steps // width) for run in each.runs]
    return over_all_seeds(seeds, lambda i: (i + 1 - TREND_WINDOWS / 2) * width, low=float("-inf"))


def slopes(samples: Iterable[Sample], width: float, windows: int) -> dict[int, float]:
    """Window i of the first `windows` -> change of the value per unit of x over the `TREND_WINDOWS` that end with it.

    The slope of least squares of sum / weight over x, every sample by its weight. A stretch without two different x
    has none.
    """
    found: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        found[int(sample[0] // width)].append(sample)
    stretches = {
        i: [sample for j in range(i + 1 - TREND_WINDOWS, i + 1) for sample in found[j]]
        for i in range(TREND_WINDOWS - 1, windows)
    }
    return {i: _slope(inside) for i, inside in stretches.items() if len({x for x, _, weight in inside if weight}) > 1}


def _slope(samples: Sequence[Sample]) -> float:
    """sum w (x - mean) y / sum w (x - mean)^2 with w y = the sum of a sample."""
    mean = sum(x * weight for x, _, weight in samples) / sum(weight for _, _, weight in samples)
    across = sum(weight * (x - mean) ** 2 for x, _, weight in samples)
    return sum((x - mean) * amount for x, amount, _ in samples) / across


def _within(run: RunRecords, samples: Iterable[Sample]) -> list[Sample]:
    """What is preprocessed after the last step was ended by its weights."""
    last = max(0, run.steps - 1)
    return [(min(x, last), total, weight) for x, total, weight in samples]


def success_by_step(groups: Iterable[Group], arm: str, bucket: str | None = None) -> list[Sample]:
    """(step, sum of rewards, judged rollouts) of the groups of an arm."""
    return [
        (group.step, group.reward_sum, group.judged)
        for group in groups
        if group.arm == arm and bucket in (None, group.bucket)
    ]


def part_success(run: RunRecords, arm: str, bucket: str) -> list[Sample]:
    return success_by_step(run.groups, arm, bucket)


def learner_by_step(learner: Iterable[News], key: str) -> list[Sample]:
    """(policy version a step began with, value x tokens, tokens) of the steps that report `key`."""
    return [
        (int(news["step"]) - 1, float(news[key]) * int(news["step/tokens"]), int(news["step/tokens"]))
        for news in learner
        if key in news
    ]


def success_by_rollouts(groups: Iterable[Group]) -> list[Sample]:
    """(rollouts spent on hard problems before it, successes, judged) of every unguided group of a hard problem.

    Guided rollouts of hard problems are spent on them too (figure 5d).
    """
    spent, samples = 0, []
    for group in groups:
        if group.bucket == "hard":
            if group.arm == "unguided":
                samples.append((float(spent), float(group.successes), float(group.judged)))
            spent += group.rollouts
    return samples


def first_reached(windows: Mapping[int, float], threshold: float) -> int | None:
    """The first window with a mean of at least `threshold`; None: there is none."""
    return next((i for i, value in sorted(windows.items()) if value >= threshold), None)


def rate_by_time(events: Sequence[tuple[float, float]], width_s: float) -> dict[int, float]:
    """(second, amount) -> window -> amount a second, of whole windows from the first event on."""
    if not events:
        return {}
    start = min(moment for moment, _ in events)
    whole = int((max(moment for moment, _ in events) - start) // width_s)
    totals = dict.fromkeys(range(whole), 0.0)
    for moment, amount in events:
        if (window := int((moment - start) // width_s)) in totals:
            totals[window] += amount
    return {window: amount / width_s for window, amount in totals.items()}


def active_s(run: RunRecords) -> Callable[[float], float]:
    """Unix s of one of its reports -> seconds the run had been at work; pauses, as before it was resumed, are none."""
    reported = sorted([*map(moment, run.learner), *map(moment, run.actors), *run.signs_of_life])
    gaps = [later - earlier for earlier, later in pairwise(reported)]
    active = list(accumulate((gap if gap <= PAUSE_S else 0.0 for gap in gaps), initial=0.0))
    return lambda at: active[bisect_left(reported, at)]


def moment(news: News) -> float:
    """Unix seconds at which the server took a report."""
    return int(news["id"].partition("-")[0]) / 1e3
