import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from preprocess.advantages import mean_advantages

REWARDS = st.lists(st.none() | st.floats(-1, 1), min_size=1, max_size=16)


def test_advantages_by_hand() -> None:
    assert mean_advantages([1.0, 0.0]).tolist() == [0.5, -0.5]
    assert mean_advantages([1.0, 0.0, 0.0, 0.0]).tolist() == [0.75, -0.25, -0.25, -0.25]
    assert mean_advantages([1.0, 1.0, 1.0]).tolist() == [0.0, 0.0, 0.0]


def test_there_is_no_division_by_the_standard_deviation() -> None:
    rare = mean_advantages([1.0] + [0.0] * 7)
    assert rare.tolist() == [0.875] + [-0.125] * 7


def test_a_rollout_without_a_reward_takes_no_part() -> None:
    assert mean_advantages([1.0, None, 0.0, 0.0, 0.0]).tolist() == [0.75, 0.0, -0.25, -0.25, -0.25]
    assert mean_advantages([None, None]).tolist() == [0.0, 0.0]
    assert mean_advantages([None, 1.0]).tolist() == [0.0, 0.0]


@given(REWARDS)
def test_advantages_equal_a_slow_loop(rewards: list[float | None]) -> None:
    total, count = 0.0, 0
    for reward in rewards:
        if reward is not None:
            total, count = total + reward, count + 1
    expected = []
    for reward in rewards:
        expected.append(0.0 if reward is None else reward - total / count)
    np.testing.assert_allclose(mean_advantages(rewards), expected, atol=1e-6)


@given(REWARDS)
def test_advantages_sum_to_zero_over_the_judged_rollouts(rewards: list[float | None]) -> None:
    assert abs(float(mean_advantages(rewards).sum())) < 1e-5


@given(REWARDS, st.floats(-5, 5))
def test_a_constant_added_to_every_reward_changes_nothing(rewards: list[float | None], shift: float) -> None:
    shifted = [None if reward is None else reward + shift for reward in rewards]
    np.testing.assert_allclose(mean_advantages(shifted), mean_advantages(rewards), atol=1e-5)
