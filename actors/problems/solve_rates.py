"""The chance that a rollout group of a problem has a gradient, from the newest outcomes of its arm. Pure.

A group of n rollouts has a gradient when it contains a success and a failure. With the solve rate p of a problem that
happens with probability 1 - p^n - (1 - p)^n. p is unknown and changes while the policy learns, so it has a posterior
Beta(a, b) with forgetting: an outcome that is k optimizer steps old counts 2^(-k / memory_steps) of its rollouts (the
discounted counts of discounted Thompson sampling, arXiv 1707.09727). The prior has the weight of
`PRIOR_ROLLOUTS` rollouts and the mean of the arm, so a problem without outcomes, or with old ones only, is rated as
its arm is at present. The mean of the chance is closed:

    chance = 1 - E[p^n] - E[(1 - p)^n],    E[p^n] = B(a + n, b) / B(a, b) = prod_{k < n} (a + k) / (a + b + k)
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from broker.ledger import Outcome

PRIOR_ROLLOUTS = 0.5
"""Weight of the prior. It is small because the solve rates of an arm differ: most problems are near 0 or near 1."""


def gradient_chances(
    outcomes: Sequence[Sequence[Outcome]], *, step: int, group_size: int, memory_steps: float
) -> NDArray[np.float64]:
    """float64[P], 0 < chance < 1: for each problem of one arm, from its newest outcomes. `step`: the present one."""
    successes, judged = _discounted(outcomes, step, memory_steps)
    mean = _arm_mean(successes, judged, group_size)
    a = PRIOR_ROLLOUTS * mean + successes
    b = PRIOR_ROLLOUTS * (1 - mean) + judged - successes
    return 1 - _expected_power(a, b, group_size) - _expected_power(b, a, group_size)


def _discounted(
    outcomes: Sequence[Sequence[Outcome]], step: int, memory_steps: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """float64[P] each: successes and judged rollouts, discounted by their age."""
    problem = np.repeat(np.arange(len(outcomes)), [len(of_problem) for of_problem in outcomes])
    values = np.array(
        [(each.step, each.successes, each.judged) for of_problem in outcomes for each in of_problem], np.float64
    ).reshape(-1, 3)
    discount = 0.5 ** ((step - values[:, 0]) / memory_steps)

    def total(column: int) -> NDArray[np.float64]:
        return np.bincount(problem, discount * values[:, column], minlength=len(outcomes)).astype(np.float64)

    return total(1), total(2)


def _arm_mean(successes: NDArray[np.float64], judged: NDArray[np.float64], group_size: int) -> float:
    """The mean solve rate of the problems of the arm, inside (0, 1).

    A problem counts by its evidence, but no more than one fresh group does, so that problems that are sampled often do
    not decide it. One rollout that is half correct is added.
    """
    weight = np.minimum(1.0, group_size / np.maximum(judged, 1e-9))
    return float((np.sum(weight * successes) + 0.5) / (np.sum(weight * judged) + 1.0))


def _expected_power(a: NDArray[np.float64], b: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """E[p^n] under Beta(a, b)."""
    k = np.arange(n)[:, None]
    power: NDArray[np.float64] = np.prod((a + k) / (a + b + k), axis=0)
    return power
