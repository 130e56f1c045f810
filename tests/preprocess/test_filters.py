"""Why a group is dropped."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.schema import PreprocessSettings
from preprocess.advantages import ADVANTAGES, group_advantages
from preprocess.filters import drop_reason


def reason_of(rewards: list[float | None], **settings: Any) -> str | None:
    preprocess = PreprocessSettings(**settings)
    return drop_reason(rewards, group_advantages(rewards, preprocess), preprocess)


@pytest.mark.parametrize(
    ("rewards", "reason"),
    [
        ([1.0, 0.0], None),
        ([1.0, None, 0.0], None),
        ([0.0, 0.0], "zero_advantage"),
        ([1.0, 1.0, None], "zero_advantage"),
        ([0.7, 0.7, 0.7], "zero_advantage"),
        ([None, None], "no_reward"),
        ([1.0, None, None], "no_reward"),
    ],
)
@pytest.mark.parametrize("advantage", ["mean", "std", "leave_one_out", "maxrl"])
def test_a_group_is_dropped_for_a_named_reason(advantage: str, rewards: list[float | None], reason: str | None) -> None:
    assert reason_of(rewards, advantage=advantage) == reason


@pytest.mark.parametrize(
    ("rewards", "k", "baseline", "reason"),
    [
        ([0.0, 0.0, 0.0], 2, "none", "zero_advantage"),
        ([1.0, 1.0, 1.0], 2, "none", None),  # eq. 7 weighs solved groups too
        ([1.0, 1.0, 1.0], 2, "mean", "zero_advantage"),
        ([1.0, 0.0, 0.0], 3, "none", None),
        ([1.0, 0.0, 0.0], 3, "mean", "zero_advantage"),
        ([1.0, 0.0, None], 3, "none", "no_reward"),
    ],
)
def test_pass_at_k_drops_groups_without_a_weight(
    rewards: list[float | None], k: int, baseline: str, reason: str | None
) -> None:
    assert reason_of(rewards, advantage="pass_at_k", pass_k=k, pass_k_baseline=baseline) == reason


def test_groups_without_a_gradient_are_kept_when_the_setting_is_false() -> None:
    assert reason_of([0.0, 0.0], drop_zero_advantage=False) is None
    assert reason_of([0.0, None], drop_zero_advantage=False) == "no_reward"


@pytest.mark.parametrize("advantage", ADVANTAGES)
@given(rewards=st.lists(st.sampled_from([None, 0.0, 1.0]), min_size=1, max_size=9))
def test_a_kept_group_has_a_gradient_and_a_dropped_one_has_none(advantage: str, rewards: list[float | None]) -> None:
    kept = reason_of(rewards, advantage=advantage) is None
    assert kept == bool(group_advantages(rewards, PreprocessSettings(advantage=advantage)).any())  # type: ignore[arg-type]
