"""The penalty for overlong responses (DAPO eq. 13)."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.overlong import shaped_rewards
from tests.groups import completion, rollout_group


def shaped(lengths: list[int], rewards: list[float | None], overlong_tokens: int = 4) -> list[float | None]:
    rollouts = tuple(completion(r, num_tokens=n) for n, r in zip(lengths, rewards, strict=True))
    group = msgspec.structs.replace(rollout_group(), rollouts=rollouts)
    return shaped_rewards(group, overlong_tokens=overlong_tokens, max_completion_tokens=10)


def slow(reward: float | None, length: int, overlong_tokens: int, longest: int) -> float | None:
    """Eq. 13 token by token: each of the last L_cache tokens subtracts 1 / L_cache."""
    if reward is None:
        return None
    for position in range(length):
        if longest - overlong_tokens <= position < longest:
            reward -= 1 / overlong_tokens
    return reward


reward_and_length = st.tuples(st.none() | st.sampled_from([0.0, 1.0]) | st.floats(-1, 1), st.integers(1, 60))


@given(st.lists(reward_and_length, min_size=1, max_size=8), st.integers(2, 40), st.data())
def test_the_penalty_equals_the_slow_loop(
    drawn: list[tuple[float | None, int]], longest: int, data: st.DataObject
) -> None:
    overlong = data.draw(st.integers(0, longest - 1))
    rollouts = tuple(completion(reward, num_tokens=length) for reward, length in drawn)
    group = msgspec.structs.replace(rollout_group(), rollouts=rollouts)
    got = shaped_rewards(group, overlong_tokens=overlong, max_completion_tokens=longest)
    for ours, (reward, length) in zip(got, drawn, strict=True):
        assert ours == pytest.approx(slow(reward, length, overlong, longest), abs=1e-9)


def test_the_reward_falls_linearly_over_the_last_tokens() -> None:
    assert shaped([1, 6, 7, 8, 9, 10], [1.0] * 6) == pytest.approx([1.0, 1.0, 0.75, 0.5, 0.25, 0.0])
    assert shaped([6, 8, 10], [0.0] * 3) == pytest.approx([0.0, -0.5, -1.0])


def test_a_failed_verification_stays_without_a_reward() -> None:
    assert shaped([10, 10], [None, 1.0]) == [None, 0.0]


def test_zero_overlong_tokens_disable_the_penalty() -> None:
    assert shaped([10, 3], [1.0, 0.0], overlong_tokens=0) == [1.0, 0.0]
    assert shaped([11], [1.0], overlong_tokens=0) == [1.0], "sampled under a higher limit, before a resume"


def test_the_penalty_is_at_most_one() -> None:
    assert shaped([40], [1.0]) == [0.0]


def test_the_oracle_is_not_punished_for_its_length() -> None:
    group = rollout_group(rewards=(1.0,), num_tokens=4, oracle=True)
    assert shaped_rewards(group, overlong_tokens=2, max_completion_tokens=4) == [0.0, 1.0]
