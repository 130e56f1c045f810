"""Advantages against numbers by hand, slow loops and the enumeration of subsets."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.schema import PreprocessSettings
from preprocess.advantages import ADVANTAGES, STD_EPS, group_advantages, pass_at_k_weights, rho

SHAPED = st.lists(st.none() | st.floats(-1, 1), min_size=1, max_size=16)
KNOWN = st.lists(st.floats(-1, 1), min_size=2, max_size=16)
BINARY = st.lists(st.sampled_from([None, 0.0, 1.0]), min_size=1, max_size=12)


def advantages(rewards: Sequence[float | None], name: str = "mean", **settings: Any) -> list[float]:
    return group_advantages(rewards, PreprocessSettings(advantage=name, **settings)).tolist()  # type: ignore[arg-type]


def slow(name: str, rewards: list[float | None]) -> list[float]:
    """The formulas with plain lists."""
    known = [r for r in rewards if r is not None]
    n = len(known)
    if n < 2:
        return [0.0] * len(rewards)
    mean = sum(known) / n
    deviation = (sum((r - mean) ** 2 for r in known) / (n - 1)) ** 0.5
    values = []
    for reward in rewards:
        if reward is None:
            values.append(0.0)
        elif name == "mean":
            values.append(reward - mean)
        elif name == "std":
            values.append((reward - mean) / (deviation + STD_EPS))
        elif name == "leave_one_out":
            values.append(reward - (sum(known) - reward) / (n - 1))
        else:
            values.append((reward - mean) / mean if mean else 0.0)
    return values


def brute_force_weights(rewards: list[float], k: int) -> list[float]:
    """Share of all k-subsets that hold rollout i and whose best reward is 1: the weight of grad log pi_i."""
    subsets = list(combinations(range(len(rewards)), k))
    counts = [sum(i in s and max(rewards[j] for j in s) == 1.0 for s in subsets) for i in range(len(rewards))]
    return [float(Fraction(count, len(subsets))) for count in counts]


def test_advantages_by_hand() -> None:
    assert advantages([1.0, 0.0]) == [0.5, -0.5]
    assert advantages([1.0, 0.0, 0.0, 0.0]) == [0.75, -0.25, -0.25, -0.25]
    assert advantages([1.0, 0.0, 0.0, 0.0], "leave_one_out") == pytest.approx([1.0, -1 / 3, -1 / 3, -1 / 3])
    assert advantages([1.0, 0.0, 0.0, 0.0], "maxrl") == [3.0, -1.0, -1.0, -1.0]
    assert advantages([1.0, 0.0, 0.0, 0.0], "std") == pytest.approx([1.5, -0.5, -0.5, -0.5], rel=1e-5)


def test_pass_at_k_trains_the_weights_of_eq_7_as_rewards() -> None:
    # Two of four, k = 2: a correct one is in 3 of 6 pairs, a wrong one in 2 of the 6 with a correct one.
    weights = [1 / 2, 1 / 3, 1 / 2, 1 / 3]
    unbiased = advantages([1.0, 0.0, 1.0, 0.0], "pass_at_k", pass_k=2, pass_k_baseline="none")
    assert unbiased == pytest.approx(weights)
    assert advantages([1.0, 0.0, 1.0, 0.0], "pass_at_k", pass_k=2) == pytest.approx([1 / 12, -1 / 12, 1 / 12, -1 / 12])
    # One of eight, k = 4: 1/2 and 1/2 * (1 - C(6, 3) / C(7, 3)) = 1/2 * 3/7; their mean is 2/8.
    one = advantages([1.0] + [0.0] * 7, "pass_at_k", pass_k=4)
    assert one == pytest.approx([1 / 4] + [-1 / 28] * 7)
    # The same group under `mean` has a gap of 1 between correct and wrong, k = 4 of 2/7 (section 3.2).
    assert one[0] - one[1] == pytest.approx(2 / 7)


@pytest.mark.parametrize("n", range(2, 8))
def test_pass_at_k_equals_the_mean_baseline_over_enumerated_weights(n: int) -> None:
    for outcome in range(2**n):
        rewards = [float(outcome >> i & 1) for i in range(n)]
        for k in range(1, n + 1):
            weights = brute_force_weights(rewards, k)
            expected = [weight - sum(weights) / n for weight in weights]
            assert advantages(rewards, "pass_at_k", pass_k=k) == pytest.approx(expected, abs=1e-6)
            if k == n:
                assert advantages(rewards, "pass_at_k", pass_k=k) == [0.0] * n, "all of n tells no rollout from another"


def test_the_mean_is_not_divided_by_the_standard_deviation() -> None:
    assert advantages([1.0] + [0.0] * 7) == [0.875] + [-0.125] * 7


@pytest.mark.parametrize("name", ADVANTAGES)
def test_a_rollout_without_a_reward_takes_no_part(name: str) -> None:
    without = advantages([1.0, 0.0, 0.0, 0.0], name)
    assert advantages([1.0, None, 0.0, 0.0, 0.0], name) == [without[0], 0.0, *without[1:]]
    assert advantages([None, None], name) == [0.0, 0.0]
    assert advantages([None, 1.0], name) == [0.0, 0.0]


@pytest.mark.parametrize("name", ["mean", "std", "leave_one_out", "maxrl"])
@given(rewards=KNOWN)
def test_a_formula_equals_the_slow_loop(name: str, rewards: list[float]) -> None:
    rewards = [float(reward > 0) for reward in rewards] if name == "maxrl" else rewards
    got = ADVANTAGES[name](np.asarray(rewards), PreprocessSettings(advantage=name))  # type: ignore[arg-type]
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, slow(name, [*rewards]), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", ["mean", "std", "leave_one_out", "maxrl"])
@given(rewards=SHAPED)
def test_the_float32_of_a_record_equals_the_slow_loop_with_rewards_missing(
    name: str, rewards: list[float | None]
) -> None:
    binary = [None if reward is None else float(reward > 0) for reward in rewards]
    rewards = binary if name == "maxrl" else rewards
    np.testing.assert_allclose(advantages(rewards, name), slow(name, rewards), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", ["mean", "std", "leave_one_out", "maxrl"])
@given(rewards=BINARY)
def test_advantages_sum_to_zero_over_the_judged_rollouts(name: str, rewards: list[float | None]) -> None:
    assert abs(sum(advantages(rewards, name))) < 1e-4


@given(SHAPED, st.floats(-5, 5))
def test_a_constant_added_to_every_reward_changes_nothing(rewards: list[float | None], shift: float) -> None:
    shifted = [None if reward is None else reward + shift for reward in rewards]
    np.testing.assert_allclose(advantages(shifted), advantages(rewards), atol=1e-5)


@pytest.mark.parametrize("name", ["mean", "std", "leave_one_out", "maxrl"])
def test_equal_rewards_give_exactly_zero_whatever_the_rounding(name: str) -> None:
    assert advantages([0.1] * 3, name) == [0.0] * 3
    assert advantages([0.7] * 7, name) == [0.0] * 7


@pytest.mark.parametrize("n", range(2, 10))
def test_pass_at_k_weights_equal_the_enumeration_of_all_subsets(n: int) -> None:
    for k in range(1, n + 1):
        for c in range(n + 1):
            rewards = [1.0] * c + [0.0] * (n - c)
            got = pass_at_k_weights(np.asarray(rewards), k)
            np.testing.assert_allclose(got, brute_force_weights(rewards, k), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("n", "k"), [(2, 1), (4, 2), (5, 3), (6, 6)])
def test_pass_at_k_weights_are_the_gradient_of_pass_at_k(n: int, k: int) -> None:
    """Eq. 6 averaged over all outcomes of n coin throws is d pass@k / d p, for a policy with one parameter p."""
    p = Fraction(3, 10)
    expected = k * (1 - p) ** (k - 1)  # of pass@k = 1 - (1 - p)^k
    total = Fraction(0)
    for outcome in range(2**n):
        rewards = [float(outcome >> i & 1) for i in range(n)]
        probability, score = Fraction(1), Fraction(0)
        weights = [Fraction(w).limit_denominator(10**6) for w in brute_force_weights(rewards, k)]
        for reward, weight in zip(rewards, weights, strict=True):
            probability *= p if reward else 1 - p
            score += weight * (1 / p if reward else -1 / (1 - p))
        total += probability * score
    assert total == expected


def test_rho_is_the_share_of_subsets_with_a_success() -> None:
    for n in range(1, 8):
        for c in range(n + 1):
            for k in range(1, n + 1):
                subsets = list(combinations(range(n), k))
                assert rho(n, c, k) == pytest.approx(sum(min(s) < c for s in subsets) / len(subsets), abs=1e-12)


def test_pass_at_1_is_reinforce_and_with_the_baseline_grpo_over_n() -> None:
    rewards = [1.0, 0.0, 0.0, 1.0, 0.0]
    without = advantages(rewards, "pass_at_k", pass_k=1, pass_k_baseline="none")
    assert without == pytest.approx([r / 5 for r in rewards])
    assert advantages(rewards, "pass_at_k", pass_k=1) == pytest.approx([a / 5 for a in advantages(rewards)])


def test_pass_at_k_of_equal_rewards() -> None:
    assert advantages([0.0] * 4, "pass_at_k", pass_k=2) == [0.0] * 4
    assert advantages([1.0] * 4, "pass_at_k", pass_k=2) == [0.0] * 4
    assert advantages([1.0] * 4, "pass_at_k", pass_k=2, pass_k_baseline="none") == [0.5] * 4  # eq. 6 has no baseline
    assert advantages([1.0, 0.0, None], "pass_at_k", pass_k=3) == [0.0] * 3, "two rollouts estimate no pass@3"
