"""Curves of an experiment: means in windows of a run, then over its seeds. Pure."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from broker.reports import GroupEnd, LearnerStep
from deploy.report.experiments import Experiment
from deploy.report.run_records import RunRecords
from deploy.statistics.estimates import Estimate, over_seeds
from deploy.statistics.windows import TREND_WINDOWS, Sample, common_windows, slopes, window_means, window_width

PAUSE_S = 60.0
"""A run that reports nothing for longer was paused."""


@dataclass(frozen=True)
class Point:
    """One point of a curve."""

    x: float
    y: Estimate


def over_all_seeds(
    seeds: Sequence[Mapping[int, float]], x_of: Callable[[int], float], low: float = 0.0, high: float = float("inf")
) -> list[Point]:
    """The mean over the seeds, in the windows in which all of them have a value, so that a curve has the same seeds
    throughout. A seed without any value is left out.
    """
    seeds = [seed for seed in seeds if seed]
    return [Point(x_of(i), over_seeds([seed[i] for seed in seeds], low, high)) for i in common_windows(seeds)]


def centre(width: float) -> Callable[[int], float]:
    """Window -> x of its middle."""
    return lambda i: (i + 0.5) * width


def end(width: float) -> Callable[[int], float]:
    """Window -> x of its end."""
    return lambda i: (i + 1) * width


def step_width(shown: Sequence[Experiment]) -> int:
    """Optimizer steps of one window, the same for every curve over steps."""
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
    """`slopes` in windows of `width` steps, each at the middle of its stretch, then over the seeds."""
    seeds = [slopes(_within(run, samples(run)), width, run.steps // width) for run in each.runs]
    return over_all_seeds(seeds, lambda i: (i + 1 - TREND_WINDOWS / 2) * width, low=float("-inf"))


def _within(run: RunRecords, samples: Iterable[Sample]) -> list[Sample]:
    """The samples, with those that were preprocessed after the last step counted to it."""
    last = max(0, run.steps - 1)
    return [(min(x, last), total, weight) for x, total, weight in samples]


def success_by_step(groups: Iterable[GroupEnd], arm: str, bucket: str | None = None) -> list[Sample]:
    """(step, sum of rewards, judged rollouts) of the groups of an arm, both times the weight of the group."""
    return [
        (group.step, group.weight * group.reward_sum, group.weight * group.judged)
        for group in groups
        if group.arm == arm and bucket in (None, group.bucket)
    ]


def part_success(run: RunRecords, arm: str, bucket: str) -> list[Sample]:
    """`success_by_step` of one arm and bucket of a run."""
    return success_by_step(run.groups, arm, bucket)


def learner_by_step(learner: Iterable[LearnerStep], value: Callable[[LearnerStep], float | None]) -> list[Sample]:
    """(policy version a step began with, value x tokens, tokens) of the steps that have the value."""
    values = ((step, value(step)) for step in learner)
    return [(step.step - 1, number * step.tokens, step.tokens) for step, number in values if number is not None]


def success_by_rollouts(groups: Iterable[GroupEnd]) -> list[Sample]:
    """(rollouts spent on hard problems before it, successes, judged) of every unguided group of a hard problem.

    Successes and judged rollouts are multiplied by the weight of the group.

    Guided rollouts of hard problems count as spent, too (figure 5d).
    """
    spent, samples = 0, []
    for group in groups:
        if group.bucket == "hard":
            if group.arm == "unguided":
                samples.append((float(spent), group.weight * group.successes, group.weight * group.judged))
            spent += group.rollouts
    return samples


def active_s(run: RunRecords) -> Callable[[float], float]:
    """Unix seconds of one of its reports -> seconds that the run had worked by then, without its pauses."""
    reports = (*run.learner, *run.outputs, *run.syncs)
    reported = sorted([*(report.unix_s for report in reports), *run.preprocess_s])
    gaps = [later - earlier for earlier, later in pairwise(reported)]
    active = list(accumulate((gap if gap <= PAUSE_S else 0.0 for gap in gaps), initial=0.0))
    return lambda at: active[bisect_left(reported, at)]
