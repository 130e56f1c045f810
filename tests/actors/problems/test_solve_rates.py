"""The chance of a gradient: numbers checked by hand, a slow reference, and forgetting."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.problems.solve_rates import PRIOR_ROLLOUTS, gradient_chances
from broker.ledger import Outcome


def chances(*problems: tuple[Outcome, ...], step: int = 0, group_size: int = 8, half_life: float = 10.0) -> list[float]:
    return list(gradient_chances(problems, step=step, group_size=group_size, memory_steps=half_life))


def test_a_group_of_two_by_hand() -> None:
    """No outcomes: mean 1/2, Beta(1/4, 1/4). E[p^2] = E[(1-p)^2] = (1/4 * 5/4) / (1/2 * 3/2) = 5/12, so 1 - 10/12."""
    assert PRIOR_ROLLOUTS == 0.5
    assert chances((), (), group_size=2) == pytest.approx([1 / 6, 1 / 6])


def test_one_mixed_outcome_by_hand() -> None:
    """1 of 2: mean 1/2, Beta(5/4, 5/4). E[p^2] = (5/4 * 9/4) / (5/2 * 7/2) = 9/28, so 1 - 18/28."""
    assert chances((Outcome(0, 1, 2),), group_size=2) == pytest.approx([5 / 14])


@settings(max_examples=20)
@given(
    outcomes=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8)), max_size=6),
    group_size=st.integers(2, 16),
    half_life=st.floats(1.0, 50.0),
)
def test_against_a_slow_reference(outcomes: list[tuple[int, int]], group_size: int, half_life: float) -> None:
    """The mean of 1 - p^n - (1 - p)^n by a sum over p under the density of the posterior."""
    steady = (Outcome(30, 8, 16),)
    mine = tuple(Outcome(step, successes, 8) for step, successes in sorted(outcomes))
    counts = [[0.0, 0.0], [8.0, 8.0]]
    for each in mine:
        for i, rollouts in enumerate((each.successes, each.judged - each.successes)):
            counts[0][i] += rollouts * 0.5 ** ((30 - each.step) / half_life)
    total = weighted = 0.0
    for successes, failures in counts:
        weight = min(1.0, group_size / (successes + failures)) if successes + failures else 0.0
        total += weight * (successes + failures)
        weighted += weight * successes
    mean = (weighted + 0.5) / (total + 1)
    a, b = PRIOR_ROLLOUTS * mean + counts[0][0], PRIOR_ROLLOUTS * (1 - mean) + counts[0][1]
    u = np.linspace(-400.0, 400.0, 40_001)  # p = e^u / (1 + e^u): the density is unbounded at 0 and 1
    log_p, log_q = -np.logaddexp(0, -u), -np.logaddexp(0, u)
    density = np.exp(a * log_p + b * log_q)
    value = 1 - np.exp(group_size * log_p) - np.exp(group_size * log_q)
    expected = np.sum(density * value) / np.sum(density)
    assert chances(mine, steady, step=30, group_size=group_size, half_life=half_life)[0] == pytest.approx(
        expected, abs=1e-6
    )


def test_mixed_outcomes_promise_more_than_equal_ones() -> None:
    right, mixed, wrong = (tuple(Outcome(0, n, 8) for _ in range(3)) for n in (8, 4, 0))
    of_right, of_mixed, of_wrong, unseen = chances(right, mixed, wrong, ())
    assert of_mixed > 0.9 > unseen > max(of_right, of_wrong)
    assert of_right == pytest.approx(of_wrong)


def test_a_problem_without_recent_outcomes_is_rated_as_its_arm() -> None:
    """Solved once and absorbed since, or never solved: after ten half-lives both are rated like an unseen problem."""
    recent = [(Outcome(100, 5, 8),) for _ in range(20)]
    old_wrong, old_right, unseen, *_ = chances((Outcome(0, 0, 8),), (Outcome(0, 8, 8),), (), *recent, step=100)
    assert old_wrong == pytest.approx(unseen, rel=0.05)
    assert old_right == pytest.approx(unseen, rel=0.05)
    fresh_wrong, *_ = chances((Outcome(100, 0, 8),), (), *recent, step=100)
    assert fresh_wrong < unseen / 2


def test_one_problem_that_is_sampled_often_does_not_decide_the_mean_of_the_arm() -> None:
    often = tuple(Outcome(0, 0, 8) for _ in range(16))
    once = [(Outcome(0, 8, 8),) for _ in range(3)]
    as_once = chances((), often[:1], *once)[0]
    assert chances((), often, *once)[0] == pytest.approx(as_once)
