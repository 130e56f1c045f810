import random

import msgspec
import pytest

from deploy.report.curves import (
    MOST_WINDOWS,
    centre,
    end,
    first_reached,
    learner_by_step,
    over_all_seeds,
    rate_by_time,
    success_by_rollouts,
    success_by_step,
    window_means,
    window_width,
)
from deploy.report.draw_pipeline import age_shares
from deploy.report.records import Group

GROUP = Group("p", "unguided", "hard", step=0, rollouts=8, judged=8, reward_sum=0.0, successes=0)


def test_windows_by_hand() -> None:
    """Width 2: (1 + 3) / (2 + 4) in the first, nothing in the second, 5 / 5 in the third."""
    assert window_means([(0, 1, 2), (1, 3, 4), (4, 5, 5), (3, 0, 0)], 2) == {0: 4 / 6, 2: 1.0}


def test_windows_are_those_of_a_slow_loop() -> None:
    random.seed(1)
    samples = [(random.randrange(50), random.random(), random.randrange(9)) for _ in range(400)]
    for width in (1, 3, 7):
        slow = {}
        for i in range(50):
            inside = [s for s in samples if i * width <= s[0] < (i + 1) * width]
            if sum(s[2] for s in inside):
                slow[i] = sum(s[1] for s in inside) / sum(s[2] for s in inside)
        assert window_means(samples, width) == pytest.approx(slow)


@pytest.mark.parametrize(("span", "width"), [(0, 1), (1, 1), (40, 1), (41, 2), (160, 4), (161, 5)])
def test_a_width_gives_at_most_so_many_windows(span: int, width: int) -> None:
    assert window_width([span, 0]) == width
    assert -(-span // width) <= MOST_WINDOWS


def test_a_mean_over_seeds_stands_only_where_all_seeds_do() -> None:
    points = over_all_seeds([{0: 0.0, 1: 0.2, 2: 1.0}, {1: 0.4, 2: 1.0, 3: 1.0}], end(5))
    assert [(p.x, p.y.values) for p in points] == [(10, (0.2, 0.4)), (15, (1.0, 1.0))]
    assert [p.y.mean for p in points] == pytest.approx([0.3, 1.0])
    assert [p.x for p in over_all_seeds([{1: 0.0}], centre(5))] == [7.5]


def test_a_groups_curve_is_of_its_arm_and_bucket() -> None:
    groups = [GROUP, changed(GROUP, step=3, arm="guided", reward_sum=4.0), changed(GROUP, step=4, judged=2)]
    assert success_by_step(groups, "unguided") == [(0, 0.0, 8), (4, 0.0, 2)]
    assert success_by_step(groups, "guided", "hard") == [(3, 4.0, 8)]
    assert success_by_step(groups, "guided", "easy") == []


def changed(group: Group, **changes: object) -> Group:
    return msgspec.structs.replace(group, **changes)


def test_guided_rollouts_are_spent_on_hard_problems_and_easy_ones_are_not() -> None:
    groups = [
        GROUP,
        changed(GROUP, arm="guided"),
        changed(GROUP, arm="easy", bucket="easy"),
        changed(GROUP, successes=5),
    ]
    assert success_by_rollouts(groups) == [(0.0, 0.0, 8.0), (16.0, 5.0, 8.0)]


def test_the_threshold_is_reached_in_the_first_window_at_or_above_it() -> None:
    assert first_reached({0: 0.1, 2: 0.9, 5: 1.0}, 0.9) == 2
    assert first_reached({0: 0.1}, 0.9) is None


def test_the_learners_means_weigh_tokens_and_count_from_the_weights_a_step_began_with() -> None:
    learner = [{"step": "1", "step/tokens": "10", "x": "0.5"}, {"step": "2", "step/tokens": "30"}]
    assert learner_by_step(learner, "x") == [(0, 5.0, 10)]


def test_a_rate_is_of_whole_windows_and_counts_the_silent_ones() -> None:
    """Windows of 10 s from second 100 on; the last begun is left out."""
    assert rate_by_time([(100, 50.0), (109, 50.0), (125, 30.0), (131, 9.0)], 10) == {0: 10.0, 1: 0.0, 2: 3.0}
    assert rate_by_time([], 10) == {}


def test_ages_are_shares_of_all_tokens() -> None:
    learner = [{"lag/histogram": "0:1 2:5"}, {"lag/histogram": "1:4"}, {}]
    assert age_shares(learner) == {0: 0.1, 1: 0.4, 2: 0.5}
    assert age_shares([{"lag/histogram": "0:99999 7:1"}]) == {0: 0.99999}
    assert age_shares([]) == {}
