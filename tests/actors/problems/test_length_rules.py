"""The rules of guidance.length: numbers that can be checked by hand, and an independent reference."""

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.problems.length_rules import (
    LOWEST_SHARE,
    Trial,
    Turn,
    annealed,
    fixed,
    interval,
    largest_share,
    ratio,
    rule_of,
    staged,
)
from broker.assignments import GroupResult
from conf.schema import GuidanceSettings


def turn(group_id: int = 0, earlier: int = 0, *trials: tuple[float, int]) -> Turn:
    """`trials`: (share, successes of 8)."""
    results = [Trial(share, GroupResult(n, successes, 8)) for n, (share, successes) in enumerate(trials)]
    return Turn(group_id, earlier, tuple(results))


def test_fixed_shares_are_taken_in_turn_by_the_groups_of_a_problem() -> None:
    settings = GuidanceSettings(length="fixed", shares=[0.75, 0.25])
    assert [fixed(turn(99, earlier), settings, 0) for earlier in range(5)] == [0.75, 0.25, 0.75, 0.25, 0.75]


def test_stages_are_equal_parts_of_the_schedule_and_the_last_one_stays() -> None:
    settings = GuidanceSettings(length="staged", shares=[0.5, 0.25, 0.0], schedule_groups=9)
    assert [staged(turn(group_id), settings, 0) for group_id in range(12)] == [0.5] * 3 + [0.25] * 3 + [0.0] * 6


def test_a_schedule_that_the_stages_do_not_divide_is_divided_as_evenly_as_possible() -> None:
    settings = GuidanceSettings(length="staged", shares=[0.5, 0.25, 0.0], schedule_groups=10)
    assert Counter(staged(turn(n), settings, 0) for n in range(10)) == {0.5: 4, 0.25: 3, 0.0: 3}


@pytest.mark.parametrize(("group_id", "probability"), [(0, 0.95), (100, 0.725), (200, 0.275), (300, 0.05)])
def test_the_annealed_probability_falls_along_a_cosine(group_id: int, probability: float) -> None:
    """cos(pi/3) = 1/2: after a third of the schedule 0.05 + 0.45 * 1.5 = 0.725, after two thirds 0.05 + 0.45 * 0.5."""
    settings = GuidanceSettings(length="annealed", shares=[0.95, 0.05], schedule_groups=300, num_prefixes=5)
    shares = [annealed(turn(group_id), settings, seed) for seed in range(4000)]
    assert set(shares) <= {0.0, 0.2, 0.4, 0.6, 0.8, 1.0}
    sigma = math.sqrt(probability * (1 - probability) / 5 / 4000)
    assert sum(shares) / 4000 == pytest.approx(probability, abs=5 * sigma)


def test_annealed_shares_are_binomial() -> None:
    settings = GuidanceSettings(length="annealed", shares=[1.0, 0.0], schedule_groups=100, num_prefixes=4)
    counts = Counter(annealed(turn(50), settings, seed) for seed in range(4000))  # p = 1/2
    for share, chance in zip((0.0, 0.25, 0.5, 0.75, 1.0), (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16), strict=True):
        assert counts[share] / 4000 == pytest.approx(chance, abs=5 * math.sqrt(chance * (1 - chance) / 4000))


def test_after_its_schedule_an_annealed_length_is_zero() -> None:
    settings = GuidanceSettings(length="annealed", shares=[1.0, 1.0], schedule_groups=100)
    assert [annealed(turn(group_id), settings, 0) for group_id in (99, 100, 101, 5000)] == [1.0, 1.0, 0.0, 0.0]


def bounds(draws: list[float]) -> tuple[float, float]:
    return round(min(draws), 2), round(max(draws), 2)


@pytest.mark.parametrize(
    ("trials", "low", "high"),
    [
        ((), 0.0, 1.0),
        (((0.4, 4),), 0.0, 0.4),  # 4 of 8 reach the target of 0.5: shorter
        (((0.4, 3),), 0.4, 1.0),  # 3 of 8 do not: longer
        (((0.4, 3), (0.7, 8)), 0.0, 0.7),
        (((0.4, 8), (0.1, 0)), 0.1, 1.0),
        (((1.0, 0),), 1.0, 1.0),
    ],
)
def test_an_interval_is_below_a_success_and_above_a_failure(trials, low: float, high: float) -> None:
    settings = GuidanceSettings(length="adaptive", adapt_target=0.5)
    drawn = [interval(turn(group_id, 0, *trials), settings, 0) for group_id in range(2000)]
    assert bounds(drawn) == (low, high)
    assert sum(drawn) / 2000 == pytest.approx((low + high) / 2, abs=0.03)


def test_a_ratio_lengthens_when_the_newest_result_is_worse_and_shortens_when_it_is_better() -> None:
    """Smoothed rates of 0, 4 and 8 of 8 are 1/18, 9/18 and 17/18."""
    settings = GuidanceSettings(length="adaptive", adapt_rule="ratio", shares=[0.5], adapt_window=2)

    def share(*successes: int) -> float:
        return ratio(turn(0, 0, *((0.5, each) for each in successes)), settings, 0)

    assert share() == share(4) == share(4, 4) == share(0, 0, 0) == 0.5
    assert share(4, 8) == pytest.approx(0.5 * 9 / 17)
    assert share(8, 4) == pytest.approx(0.5 * 17 / 9)
    assert share(4, 8, 8) == pytest.approx(0.5 * 9 / 17 * (9 + 17) / 2 / 17), "compared with the mean of two"
    assert share(4, 8, 8, 8) == pytest.approx(0.5 * 9 / 17 * 13 / 17), "the third before is not in the window"
    assert share(8, 0) == 1.0, "17 times as long is more than the whole"
    assert share(0, 8, 0, 8, 0, 8) >= LOWEST_SHARE
    assert share(0, 8, *[0] * 3) > share(0, 8), "a share at its lowest grows again"


def reference_ratio(share: float, rewards: list[float], window: int) -> float:
    """The recurrence of the paper, one step after the other."""
    for k, reward in enumerate(rewards):
        history = rewards[:k][-window:]
        if history:
            share = min(1.0, max(LOWEST_SHARE, share * (sum(history) / len(history)) / reward))
    return share


@given(successes=st.lists(st.integers(0, 8), max_size=12), window=st.integers(1, 5), start=st.floats(0.05, 1.0))
def test_a_ratio_is_the_recurrence_of_the_paper(successes: list[int], window: int, start: float) -> None:
    settings = GuidanceSettings(length="adaptive", adapt_rule="ratio", shares=[start], adapt_window=window)
    got = ratio(turn(0, 0, *((0.3, each) for each in successes)), settings, 0)
    assert got == pytest.approx(reference_ratio(start, [(each + 0.5) / 9 for each in successes], window))


def test_adaback_finds_the_share_from_which_a_problem_is_solved() -> None:
    """A simulated problem that is solved exactly from the share 0.6 on, and later from 0.2 on."""
    settings, rng = GuidanceSettings(length="adaptive"), random.Random(1)
    trials: list[tuple[float, int]] = []
    means = []
    for needed in (0.6, 0.2, 0.0):
        for _ in range(400):
            share = interval(turn(rng.randrange(10**9), 0, *trials[-1:]), settings, 0)
            trials.append((share, 8 if share >= needed else 0))
        means.append(sum(share for share, _ in trials[-300:]) / 300)
    assert means[0] > means[1] > means[2]
    assert means[2] < 0.01, "a problem that is solved without a prefix soon has none"


@given(seed=st.integers(0, 9), group_id=st.integers(0, 500), earlier=st.integers(0, 5), successes=st.integers(0, 8))
@pytest.mark.parametrize("length", ["fixed", "staged", "annealed", "adaptive"])
def test_every_rule_is_a_function_of_its_turn_and_gives_a_share(
    length, seed: int, group_id: int, earlier: int, successes: int
) -> None:
    settings = GuidanceSettings(length=length, shares=[0.9, 0.1], schedule_groups=250)
    rule = rule_of(settings)
    assert rule is not None
    mine = turn(group_id, earlier, (0.3, successes))
    share = rule(mine, settings, seed)
    assert share == rule(mine, settings, seed)
    assert 0 <= share <= largest_share(settings)


def test_the_default_has_no_rule_and_a_searched_prefix() -> None:
    assert rule_of(GuidanceSettings()) is None
    assert not GuidanceSettings().by_share
