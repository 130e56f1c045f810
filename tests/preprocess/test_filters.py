import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.advantages import mean_advantages
from preprocess.filters import drop_reason


@pytest.mark.parametrize(
    ("rewards", "reason"),
    [
        ([1.0, 0.0], None),
        ([1.0, None, 0.0], None),
        ([0.0, 0.0], "zero_advantage"),
        ([1.0, 1.0, None], "zero_advantage"),
        ([None, None], "no_reward"),
        ([1.0, None, None], "no_reward"),
    ],
)
def test_a_group_is_dropped_for_a_named_reason(rewards: list[float | None], reason: str | None) -> None:
    assert drop_reason(rewards, drop_zero_advantage=True) == reason


def test_groups_without_a_gradient_are_kept_when_asked() -> None:
    assert drop_reason([0.0, 0.0], drop_zero_advantage=False) is None
    assert drop_reason([0.0, None], drop_zero_advantage=False) == "no_reward"


@given(st.lists(st.sampled_from([None, 0.0, 1.0]), min_size=1, max_size=9))
def test_a_kept_group_has_a_gradient_and_a_dropped_one_has_none(rewards: list[float | None]) -> None:
    kept = drop_reason(rewards, drop_zero_advantage=True) is None
    assert kept == bool(mean_advantages(rewards).any())
