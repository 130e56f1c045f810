from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from conf.load import load
from deploy.report.curves import (
    PAUSE_S,
    active_s,
    centre,
    end,
    learner_by_step,
    over_all_seeds,
    part_success,
    slope_curve,
    step_curve,
    success_by_rollouts,
    success_by_step,
)
from deploy.report.draw_pipeline import age_shares, trained
from deploy.report.experiments import Experiment
from deploy.report.run_records import Group, News, RunRecords
from deploy.statistics.windows import (
    rate_by_time,
)

GROUP = Group("p", "unguided", "hard", step=0, rollouts=8, judged=8, reward_sum=0.0, successes=0)


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


def test_the_learners_means_weigh_tokens_and_count_from_the_weights_a_step_began_with() -> None:
    learner = [{"step": "1", "step/tokens": "10", "x": "0.5"}, {"step": "2", "step/tokens": "30"}]
    assert learner_by_step(learner, "x") == [(0, 5.0, 10)]


def reports(*seconds: float, **values: str) -> list[News]:
    return [{"id": f"{1e3 * second:.0f}-0", **values} for second in seconds]


def run(**records: Any) -> RunRecords:
    return RunRecords(path=Path("runs/a"), config=load(None, []), **records)


def test_a_pause_does_not_count_as_work() -> None:
    """Two stretches of five minutes, ten hours apart, with 90 tokens every 30 s: 3 tokens/s throughout."""
    start, ten_hours = 1_790_000_000, 36_000
    steps = [start + 30 * i + ten_hours * (i > 10) for i in range(21)]
    signs = [*range(start, start + 301), *range(start + ten_hours + 300, start + ten_hours + 601)]
    resumed = run(learner=reports(*steps, **{"step/tokens": "90"}), signs_of_life=signs)
    assert rate_by_time(trained(resumed), 60) == dict.fromkeys(range(10), 3.0)


def test_a_run_with_a_slow_learner_is_working_while_its_preprocessor_reports() -> None:
    slow = run(learner=reports(0, 500), signs_of_life=[float(second) for second in range(500)])
    assert active_s(slow)(500.0) == 500.0
    assert active_s(run(learner=reports(0, 500)))(500.0) == 0.0
    assert active_s(run(learner=reports(0, PAUSE_S)))(PAUSE_S) == PAUSE_S


def test_a_run_without_a_step_is_drawn_in_the_first_window() -> None:
    each = Experiment("a", (run(groups=[GROUP, changed(GROUP, step=3)]),))
    (point,) = step_curve(each, 1, lambda run: success_by_step(run.groups, "unguided"))
    assert point.x == 0.5


def test_the_change_of_reward_counts_groups_without_a_gradient() -> None:
    """Of 16 steps an easy arm gains one of its 8 rewards every second; the hard one is never solved: its slope is 0."""
    hard = [changed(GROUP, step=step) for step in range(16)]
    easy = [changed(GROUP, step=step, arm="easy", bucket="easy", reward_sum=step / 2) for step in range(16)]
    each = Experiment("a", (run(groups=[*hard, *easy], learner=[{"step": "16"}]),))
    assert each.parts == [("unguided", "hard"), ("easy", "easy")]
    for (arm, bucket), slope in zip(each.parts, (0.0, 1 / 16), strict=True):
        points = slope_curve(each, 1, partial(part_success, arm=arm, bucket=bucket))
        assert [point.x for point in points] == [4.0 + i for i in range(9)]
        assert [point.y.mean for point in points] == pytest.approx([slope] * 9)


def test_ages_are_shares_of_all_tokens() -> None:
    learner = [{"lag/histogram": "0:1 2:5"}, {"lag/histogram": "1:4"}, {}]
    assert age_shares(learner) == {0: 0.1, 1: 0.4, 2: 0.5}
    assert age_shares([{"lag/histogram": "0:99999 7:1"}]) == {0: 0.99999}
    assert age_shares([]) == {}
