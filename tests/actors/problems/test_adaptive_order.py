"""The adaptive order: frequencies by weight, a bound on every wait, shares that undo the choice, more gradients."""

from collections import Counter, deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from actors.problems.adaptive_order import AdaptiveOrder, sampling_weights
from actors.problems.solve_rates import gradient_chances
from broker.ledger import Outcome

FLOOR = 0.25


def drawn(weights: list[float], num_draws: int, floor: float = FLOOR) -> list[int]:
    order, problems = AdaptiveOrder(len(weights)), []
    for draw in range(num_draws):
        problems.append(order.choose(draw, np.array(weights), floor, ()))
        order.record(draw, problems[-1])
    return problems


def test_weights_have_mean_1_and_a_floor() -> None:
    weights = sampling_weights(np.array([0.5, 0.1, 0.0001]), FLOOR, 1.0)
    assert weights.mean() == pytest.approx(1.0)
    assert weights.min() >= FLOOR
    assert (weights[0] - FLOOR) / (weights[1] - FLOOR) == pytest.approx(5.0)
    focused = sampling_weights(np.array([0.5, 0.1, 0.0001]), FLOOR, 2.0)
    assert (focused[0] - FLOOR) / (focused[1] - FLOOR) == pytest.approx(25.0)
    for floor, focus in ((1.0, 1.0), (FLOOR, 0.0)):
        assert sampling_weights(np.array([0.5, 0.1]), floor, focus) == pytest.approx([1.0, 1.0])


def test_equal_weights_draw_all_problems_in_turn() -> None:
    assert drawn([1.0] * 5, 15) == [0, 1, 2, 3, 4] * 3


def test_a_problem_is_drawn_in_proportion_to_its_weight() -> None:
    counts = Counter(drawn([4.0, 2.0, 1.0, 0.5, 0.5], 1600))
    assert [counts[i] for i in range(5)] == pytest.approx([800, 400, 200, 100, 100], rel=0.05)


@given(seed=st.integers(0, 2**32), num_problems=st.integers(1, 12), floor=st.sampled_from([0.1, 0.25, 0.5, 1.0]))
def test_no_problem_waits_longer_than_the_bound(seed: int, num_problems: int, floor: float) -> None:
    """Whatever the weights do, also an adversary that gives the problem with the largest age the least weight."""
    rng = np.random.default_rng(seed)
    order, last = AdaptiveOrder(num_problems), dict.fromkeys(range(num_problems), -1)
    for draw in range(int(3 * (num_problems / floor + num_problems))):
        weights = rng.uniform(0, 50, num_problems)
        weights[min(last, key=lambda problem: last[problem])] = 0
        problem = order.choose(draw, floor + weights, floor, ())
        order.record(draw, problem)
        last[problem] = draw
        assert draw - min(last.values()) <= num_problems / floor + num_problems


def test_a_problem_in_flight_is_left_out_unless_all_are() -> None:
    order, weights = AdaptiveOrder(3), np.array([9.0, 1.0, 1.0])
    assert order.choose(0, weights, FLOOR, {0}) == 1
    assert order.choose(0, weights, FLOOR, {0, 1}) == 2
    assert order.choose(0, weights, FLOOR, {0, 1, 2}) == 0
    assert order.choose(90, weights, FLOOR, {0, 1}) == 2, "also when it is overdue"


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32))
def test_the_weights_of_the_groups_of_every_problem_have_the_same_sum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    num_problems, num_draws = 8, 400
    order, sums, last = AdaptiveOrder(num_problems), np.zeros(num_problems), np.zeros(num_problems)
    for draw in range(num_draws):
        problem = order.choose(draw, rng.uniform(FLOOR, 4, num_problems), FLOOR, ())
        sums[problem] += 1 / order.share(draw, problem)
        order.record(draw, problem)
        last[problem] = draw
    first = np.arange(num_problems) - num_problems  # as if an epoch preceded
    assert sums == pytest.approx((last - first) / num_problems)


def solve_rates(draw: int, midpoints: NDArray[np.float64], absorbed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Problems are learned one after another; a tenth of them never is."""
    rates: NDArray[np.float64] = 1 / (1 + np.exp((midpoints - draw) / 60))
    return np.where(absorbed, 0.0, rates)


def simulate(seed: int, focus: float | None) -> tuple[float, float, int, float]:
    """(share of groups with a gradient, error of the weighted success rate, longest wait, error of the plain one).

    64 problems, 600 draws, groups of 8, 10 draws in flight, 4 draws a step. `focus` None: uniform.
    """
    rng, size, steps_draws = np.random.default_rng(seed), 64, 4
    midpoints, absorbed = rng.normal(300, 130, size), rng.random(size) < 0.1
    order = AdaptiveOrder(size)
    known: list[tuple[Outcome, ...]] = [() for _ in range(size)]
    flying: deque[tuple[int, Outcome]] = deque()
    with_gradient, waits, seen, truth = 0, [0], [], []
    for draw in range(600):
        if len(flying) == 10:
            problem, outcome = flying.popleft()
            known[problem] = (*known[problem][-15:], outcome)
        weights = np.ones(size)
        if focus is not None:
            chances = gradient_chances(known, step=draw // steps_draws, group_size=8, memory_steps=20)
            weights = sampling_weights(chances, FLOOR, focus)
        problem = order.choose(draw, weights, FLOOR, {index for index, _ in flying})
        share = order.share(draw, problem)
        order.record(draw, problem)
        rates = solve_rates(draw, midpoints, absorbed)
        successes = int(rng.binomial(8, rates[problem]))
        flying.append((problem, Outcome(draw // steps_draws, successes, 8)))
        with_gradient += 0 < successes < 8
        waits.append(int(size / share))
        seen.append((successes / 8, 1 / share))
        truth.append(rates.mean())
    values, inverse = np.array(seen).T
    windows = [slice(start, start + 100) for start in range(0, 600, 100)]
    weighted = [np.average(values[w], weights=inverse[w]) - np.mean(truth[w]) for w in windows]
    plain = [np.mean(values[w]) - np.mean(truth[w]) for w in windows]
    errors = [float(np.sqrt(np.mean(np.square(each)))) for each in (weighted, plain)]
    return with_gradient / 600, errors[0], max(waits), errors[1]


def test_adaptive_sampling_finds_more_groups_with_a_gradient_and_starves_none() -> None:
    uniform, adaptive, focused = (
        np.mean([simulate(seed, focus) for seed in range(3)], axis=0) for focus in (None, 1.0, 2.0)
    )
    assert adaptive[0] > 1.15 * uniform[0]
    assert focused[0] > 1.05 * adaptive[0]
    for gradients, weighted_error, longest_wait, plain_error in (adaptive, focused):
        assert gradients > uniform[0]
        assert longest_wait <= 64 / FLOOR + 64
        assert weighted_error < 0.06 < plain_error, "the inverse shares undo what the choice does to the rate"
