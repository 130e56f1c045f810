"""Levels of unguided success from a sequence of groups."""

from collections.abc import Sequence

import pytest

from tests.race.outcome import LEVELS, WINDOW, Group, Outcome, moments, row


def unguided(successes: Sequence[int]) -> list[Group]:
    """Group number n, from 1, is finished after n seconds."""
    return [Group("unguided", float(n), right, 8) for n, right in enumerate(successes, start=1)]


def outcome(groups: Sequence[Group], name: str = "pope", seed: int = 3) -> Outcome:
    return Outcome(name=name, trainer="pope", seed=seed, settings=(), version="abc", groups=tuple(groups))


def slow_levels(groups: Sequence[Group], percent: int) -> tuple[float, int] | None:
    """(seconds, groups of both arms) to a level, by looking at every prefix of the run."""
    for end in range(1, len(groups) + 1):
        measured = [g for g in groups[:end] if g.arm == "unguided"][-100:]
        right, asked = sum(g.successes for g in measured), sum(g.rollouts for g in measured)
        if groups[end - 1].arm == "unguided" and len(measured) == 100 and 100 * right >= percent * asked:
            return groups[end - 1].at_s, end
    return None


def test_a_level_is_reached_when_the_newest_hundred_unguided_groups_are_at_it() -> None:
    # 100 groups at 0, then all right: after n of those the newest hundred are at n %.
    result = row(outcome(unguided([0] * 100 + [8] * 95)))
    assert (result.s_to_25, result.groups_to_25) == (125.0, 125)
    assert (result.s_to_50, result.s_to_75, result.s_to_90) == (150.0, 175.0, 190.0)
    assert (result.final, result.groups, result.seconds, result.seed) == (0.95, 195, 195.0, 3)


def test_no_level_is_reached_before_there_are_a_hundred_unguided_groups() -> None:
    assert list(moments(unguided([8] * 99))) == []
    few = row(outcome(unguided([8] * 99)))
    assert few.final is None
    assert few.s_to_25 is None
    full = row(outcome(unguided([8] * 100)))
    assert full.groups_to_25 == full.groups_to_90 == WINDOW


def test_guided_groups_count_and_cost_time_but_are_not_measured() -> None:
    groups = [Group("guided" if n % 2 else "unguided", n / 2, 8 if n % 2 else 2, 8) for n in range(400)]
    result = row(outcome(groups))
    assert (result.groups_to_25, result.s_to_25) == (199, 99.0)
    assert result.s_to_50 is None
    assert result.final == 0.25


def test_a_level_that_is_lost_again_was_reached_and_the_end_shows_the_fall() -> None:
    result = row(outcome(unguided([8] * 100 + [0] * 100)))
    assert result.s_to_90 == 100.0
    assert result.final == 0.0


def test_levels_agree_with_looking_at_every_prefix() -> None:
    arms = ("unguided", "guided")
    groups = [Group(arms[n * n % 3 == 1], n * 0.25, min(8, n * (n % 5) // 130), 8) for n in range(500)]
    result = row(outcome(groups))
    for level in LEVELS:
        expected = slow_levels(groups, level)
        assert (expected and expected[1]) == getattr(result, f"groups_to_{level}")
        assert (expected and round(expected[0], 1)) == getattr(result, f"s_to_{level}")
    assert result.groups_to_50 is not None, "the case tells something"


@pytest.mark.parametrize("percent", LEVELS)
def test_exactly_at_a_level_is_reached(percent: int) -> None:
    assert getattr(row(outcome(unguided([8] * percent + [0] * (100 - percent)))), f"groups_to_{percent}") == 100
