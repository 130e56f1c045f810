"""Where the time of the roles went, with numbers that can be checked by hand."""

import pytest

from broker.reports import RoleTimes
from deploy.statistics.role_times import bottleneck, newest, times_by_kind
from tests.reports import role_times as times


def line(*reports: RoleTimes) -> str | None:
    return bottleneck(times_by_kind(reports))


def test_the_roles_of_a_kind_count_together_and_shares_sum_to_one() -> None:
    found = times_by_kind(
        [
            times("actor-0", memory_mib=300.0, work=6.0, wait_lag=2.0),
            times("actor-0", memory_mib=200.0, work=1.0, other=1.0),
            times("actor-1", memory_mib=50.0, weights=10.0),
        ]
    )
    assert list(found) == ["actor"]
    assert found["actor"].wall_s == 20.0
    assert found["actor"].shares == {"work": 0.35, "weights": 0.5, "wait_lag": 0.1, "other": 0.05}
    assert found["actor"].memory_mib == 350.0
    assert found["actor"].described("actor") == (
        "sampling 35%, paused for weights 50%, waiting for the lag bound 10%, other 5%"
    )


def test_only_the_newest_reports_count() -> None:
    reports = [times("actor-0", id=f"{second * 1000}-0", work=1.0) for second in (0, 40, 99, 100)]
    assert [report.unix_s for report in newest(reports, window_s=60.0)] == [99, 100]
    assert newest([]) == []


@pytest.mark.parametrize(
    ("learner", "actor", "preprocess", "expected"),
    [
        (
            {"wait_input": 46, "work": 54},
            {"work": 100},
            {},
            "learner waits 46%: engines are slower; add an actor or lower learner.batch_samples",
        ),
        (
            {"wait_input": 46, "work": 54},
            {"work": 100},
            {"work": 90, "wait_input": 10},
            "learner waits 46%: preprocess works 90%; raise preprocess.num_workers",
        ),
        (
            {"wait_input": 60, "work": 40},
            {"work": 20, "wait_input": 50, "other": 30},
            {},
            "learner waits 60%: actors find nothing to claim 50%; run.max_groups is used up",
        ),
        (
            {"wait_input": 46, "work": 54},
            {"work": 88, "weights": 9, "canary": 3},
            {},
            "learner waits 46%: engines are slower and paused 12% for weights; "
            "raise weights.every_steps or add an actor",
        ),
        (
            {"wait_input": 40, "work": 60},
            {"work": 70, "wait_lag": 30},
            {},
            "actors wait 30% for the lag bound and the learner 40% for them: a larger "
            "learner.max_lag or learner.batch_samples is faster, but a group then teaches less",
        ),
        (
            {"wait_input": 2, "work": 90, "other": 8},
            {"work": 70, "wait_lag": 30},
            {},
            "learner is the bottleneck: actors wait 30% for the lag bound; forward and backward take 90%; "
            "add a rank (learner.num_ranks) or use fewer actors",
        ),
        (
            {"work": 100},
            {"work": 80, "wait_room": 20},
            {"wait_room": 70, "work": 30},
            "learner is the bottleneck: actors wait 20% for a full ring; forward and backward take 100%; "
            "add a rank (learner.num_ranks) or use fewer actors",
        ),
        (
            {"work": 100},
            {"work": 80, "wait_room": 20},
            {"work": 100},
            "preprocess is the bottleneck: actors wait 20% for a full stream; raise preprocess.num_workers",
        ),
        (
            {"work": 96, "wait_input": 4},
            {"work": 90, "weights": 7, "canary": 3},
            {},
            "actors are paused 10% for weights: raise weights.every_steps or weights.canary_every",
        ),
        (
            {"work": 80, "weights": 20},
            {"work": 100},
            {},
            "learner publishes weights 20% of its time: raise weights.every_steps",
        ),
        (
            {"work": 80, "checkpoint": 20},
            {"work": 100},
            {},
            "learner saves checkpoints 20% of its time: raise learner.checkpoint_every",
        ),
        ({"work": 96, "wait_input": 4}, {"work": 96, "wait_lag": 4}, {"wait_input": 100}, None),
        ({}, {}, {}, None),
    ],
)  # fmt: skip
def test_one_line_names_the_bottleneck_and_a_remedy(
    learner: dict[str, float], actor: dict[str, float], preprocess: dict[str, float], expected: str | None
) -> None:
    roles = {"learner-0": learner, "actor-0": actor, "preprocess-0": preprocess}
    assert line(*(times(role, **seconds) for role, seconds in roles.items())) == expected


def test_a_preprocessor_that_waits_for_groups_is_no_loss() -> None:
    assert line(times("preprocess-0", wait_input=99.0, work=1.0)) is None
