"""The rules of `guidance.length`: which share of the oracle solution a guided group is asked to have. Pure.

A share counts characters of the part of the solution before its answer, from 0 (no prefix: the unguided prompt) to 1.
`Prefixes.nearest` turns it into the allowed prefix of the nearest length.

`Turn` is all that a rule may use: the group id, and the earlier guided groups of the problem as far as they are
recorded with the assignments. A rule that draws at random takes its seed from the run and the group id. So the share of
a group is the same in every process, after a restart, and when the list of assignments is read again later.

The methods, their formulas and what differs from the papers: docs/methods.md.
"""

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from broker.assignments import GroupResult
from conf.schema import GuidanceSettings

LOWEST_SHARE = 0.01
"""`ratio` goes no lower, as the paper keeps one token: a share of 0 could not grow again by a factor."""


@dataclass(frozen=True)
class Trial:
    """An earlier guided group of the problem."""

    share: float
    result: GroupResult


@dataclass(frozen=True)
class Turn:
    """A guided group whose share is chosen."""

    group_id: int
    earlier: int
    """Guided groups of the problem that were issued before, whether or not their results are known."""
    trials: tuple[Trial, ...]
    """Those of them whose results are known, in the order in which the results arrived."""


Rule = Callable[[Turn, GuidanceSettings, int], float]
"""(turn, settings, seed of the run) -> share."""


def fixed(turn: Turn, settings: GuidanceSettings, seed: int) -> float:
    """The guided groups of a problem take `shares` in turn."""
    return settings.shares[turn.earlier % len(settings.shares)]


def staged(turn: Turn, settings: GuidanceSettings, seed: int) -> float:
    """QuestA: equal parts of the schedule have one share each; the last share stays.

    shares[min(m - 1, floor(m * x))] with m shares and x = group id / schedule_groups.
    """
    stage = turn.group_id * len(settings.shares) // _schedule_groups(settings)
    return settings.shares[min(stage, len(settings.shares) - 1)]


def annealed(turn: Turn, settings: GuidanceSettings, seed: int) -> float:
    """UFT: l / n with l ~ Binomial(n, p), n = num_prefixes; p falls along a cosine, and is 0 after the schedule.

    p = last + (first - last) / 2 * (1 + cos(pi x)) with [first, last] = shares and x = group id / schedule_groups.
    """
    progress = turn.group_id / _schedule_groups(settings)
    if progress > 1:
        return 0.0
    first, last = settings.shares
    probability = last + (first - last) / 2 * (1 + math.cos(math.pi * progress))
    rng, parts = _rng(turn, seed), settings.num_prefixes
    return sum(rng.random() < probability for _ in range(parts)) / parts


def interval(turn: Turn, settings: GuidanceSettings, seed: int) -> float:
    """AdaBack: uniform on [0, s] after a success with share s, on [s, 1] after a failure; at first on [0, 1].

    A group is a success if its solve rate is at least `adapt_target`.
    """
    low, high = 0.0, 1.0
    if turn.trials:
        newest = turn.trials[-1]
        solved = newest.result.solve_rate >= settings.adapt_target
        low, high = (0.0, newest.share) if solved else (newest.share, 1.0)
    return _rng(turn, seed).uniform(low, high)


def ratio(turn: Turn, settings: GuidanceSettings, seed: int) -> float:
    """G2RPO-A: each result r_k changes the share by the factor (mean of the m results before) / r_k.

    m = min(adapt_window, k - 1); the share begins at shares[0] and stays in [LOWEST_SHARE, 1]. r = (c + 1/2) / (n + 1)
    with c of n rollouts correct, so that it is never 0.
    """
    rates = [(trial.result.successes + 0.5) / (trial.result.judged + 1) for trial in turn.trials]
    share = settings.shares[0]
    for k in range(1, len(rates)):
        before = rates[max(0, k - settings.adapt_window) : k]
        share = min(1.0, max(LOWEST_SHARE, share * sum(before) / len(before) / rates[k]))
    return share


ADAPTIVE: Mapping[str, Rule] = {"interval": interval, "ratio": ratio}
SCHEDULES: Mapping[str, Rule] = {"fixed": fixed, "staged": staged, "annealed": annealed}


def rule_of(settings: GuidanceSettings) -> Rule | None:
    """The rule of the settings; None: one prefix a problem, chosen before training (`shortest_useful`)."""
    return ADAPTIVE[settings.adapt_rule] if settings.length == "adaptive" else SCHEDULES.get(settings.length)


def largest_share(settings: GuidanceSettings) -> float:
    """The largest share that the rule can ask for."""
    return max(settings.shares) if settings.length in ("fixed", "staged") else 1.0


def _schedule_groups(settings: GuidanceSettings) -> int:
    assert settings.schedule_groups is not None, "a rule of conf/rules/guidance.py requires it"
    return settings.schedule_groups


def _rng(turn: Turn, seed: int) -> random.Random:
    return random.Random(f"{seed}/guidance length/{turn.group_id}")
