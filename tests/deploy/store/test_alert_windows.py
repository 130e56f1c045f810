"""When a bucket counts as starved and an arm as silent."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from broker.reports import GroupEnd, LearnerStep
from conf.schema import RunConfig
from deploy.store.alerts import DriverAlerts
from tests.reports import ended, learner_step

STEPS, SILENT = 4, 100


def alerts_of(**arms: int) -> DriverAlerts:
    config = RunConfig()
    return DriverAlerts(
        replace(
            config,
            problems=replace(config.problems, arms=arms),
            deploy=replace(config.deploy, starved_steps=STEPS, silent_groups=SILENT),
        )
    )


def messages(alerts: DriverAlerts, learner: Sequence[LearnerStep], ended_groups: Sequence[GroupEnd]) -> list[str]:
    return [notice.text for notice in alerts.notices(learner, ended_groups)]


def steps(first: int, last: int, **advantage: float) -> list[LearnerStep]:
    """Reports of the learner; `hard_guided=0.5` is the share of `hard/guided`."""
    shares = {part.replace("_", "/"): share for part, share in advantage.items()}
    return [learner_step(step, advantage_share=shares) for step in range(first, last + 1)]


def groups(
    count: int, arm: str, *, step: int = 0, successes: int = 0, outcome: str = "zero_advantage"
) -> list[GroupEnd]:
    bucket = arm if arm in ("easy", "easier") else "hard"
    return [ended(successes, arm=arm, bucket=bucket, step=step, outcome=outcome)] * count


def test_a_bucket_starved_by_easy_problems_is_reported_with_a_remedy() -> None:
    alerts = alerts_of(unguided=1, easy=1)
    ended_groups = groups(10, "unguided") + groups(10, "easy", successes=4, outcome="kept")
    assert messages(alerts, steps(1, 3, easy_easy=0.97, hard_unguided=0.03), ended_groups) == []
    (said,) = messages(alerts, steps(4, 4, easy_easy=0.97, hard_unguided=0.03), [])
    assert said == (
        "steps 1 to 4: the hard bucket is starved: it had 3.0% of the absolute advantage, though 50% of the groups "
        "were hard and 0.0% of their rollouts correct; add guidance for the hard problems (problems.arms.guided=1)"
    )


def test_a_starved_bucket_is_reported_once_until_it_recovers() -> None:
    alerts = alerts_of(unguided=1, guided=1, easy=2)
    said = []
    for window, share in enumerate((0.5, 0.02, 0.03, 0.4, 0.01)):
        first = STEPS * window + 1
        ended_groups = groups(5, "guided", step=first) + groups(5, "easy", step=first)
        said += messages(alerts, steps(first, first + STEPS - 1, easy_easy=1 - share, hard_guided=share), ended_groups)
    assert [text.split(":")[0] for text in said] == ["steps 5 to 8", "steps 13 to 16", "steps 17 to 20"]
    assert [("no longer" in text, "lower problems.arms.easy" in text) for text in said] == [
        (False, True),
        (True, False),
        (False, True),
    ]


@pytest.mark.parametrize(
    ("arms", "advantage", "ended_groups"),
    [
        # The start of POPE: every unguided group is filtered, the guided ones carry the updates.
        ({"unguided": 1, "guided": 1}, {"hard_guided": 1.0},
         groups(50, "unguided") + groups(50, "guided", successes=1)),
        # The same with easy problems.
        ({"unguided": 1, "guided": 1, "easy": 1}, {"hard_guided": 0.3, "easy_easy": 0.7},
         groups(9, "unguided") + groups(9, "guided", successes=1) + groups(9, "easy", successes=3)),
        # Hard problems that are solved have no advantage left.
        ({"unguided": 1, "easy": 1}, {"easy_easy": 1.0}, groups(9, "unguided", successes=8) + groups(9, "easy")),
        # No hard group ended: none could be trained.
        ({"unguided": 1, "easy": 9}, {"easy_easy": 1.0}, groups(9, "easy", successes=3)),
        # No step had any advantage.
        ({"unguided": 1, "easy": 1}, {}, groups(9, "unguided") + groups(9, "easy")),
    ],
)  # fmt: skip
def test_nothing_is_reported_without_starvation(
    arms: dict[str, int], advantage: dict[str, float], ended_groups: list[GroupEnd]
) -> None:
    assert messages(alerts_of(**arms), steps(1, STEPS, **advantage), ended_groups) == []


def test_a_rarely_drawn_bucket_may_have_a_small_share() -> None:
    """A tenth of the groups: 3 % of the advantage is no starvation, 1 % is."""
    drawn = groups(1, "unguided") + groups(9, "easy", successes=3)
    assert messages(alerts_of(unguided=1, easy=9), steps(1, STEPS, hard_unguided=0.03, easy_easy=0.97), drawn) == []
    assert len(messages(alerts_of(unguided=1, easy=9), steps(1, STEPS, hard_unguided=0.01, easy_easy=0.99), drawn)) == 1


def messages_by_window(alerts: DriverAlerts, windows: Sequence[list[GroupEnd]]) -> list[list[str]]:
    return [messages(alerts, [], window) for window in windows]


def test_an_arm_is_silent_while_its_groups_carry_no_gradient() -> None:
    said = messages_by_window(
        alerts_of(unguided=1),
        [
            groups(SILENT - 1, "unguided"),
            groups(1, "unguided"),
            groups(SILENT, "unguided"),
            groups(SILENT - 1, "unguided") + groups(1, "unguided", outcome="kept", successes=1),
        ],
    )
    assert said == [
        [],
        ["the arm unguided is silent: 0 of 100 groups carried a gradient, and 0.0% of their rollouts were correct; "
         "add guidance (problems.arms.guided=1)"],
        [],
        ["the arm unguided is no longer silent: 1 of 100 groups carried a gradient"],
    ]  # fmt: skip


def test_a_solved_arm_and_an_easy_one_are_not_silent() -> None:
    alerts = alerts_of(unguided=1, easy=1)
    assert messages_by_window(alerts, [groups(SILENT, "unguided", successes=8) + groups(SILENT, "easy")]) == [[]]


@pytest.mark.parametrize(
    ("arm", "remedy"),
    [
        ("guided", "lower guidance.samples"),
        ("unguided", "do not transfer to unguided prompts yet: see `pope ledger`"),
    ],
)
def test_the_remedy_suits_the_arm(arm: str, remedy: str) -> None:
    ((said,),) = messages_by_window(alerts_of(unguided=1, guided=1), [groups(SILENT, arm)])
    assert remedy in said


def test_alerts_can_be_switched_off() -> None:
    config = RunConfig()
    quiet = replace(config, deploy=replace(config.deploy, starved_share=0.0, starved_steps=1, silent_groups=0))
    assert messages(DriverAlerts(quiet), steps(1, 9, easy_easy=1.0), groups(2000, "unguided")) == []


def test_a_notice_says_what_it_is_about_and_whether_it_still_holds() -> None:
    alerts, ended_groups = alerts_of(unguided=1), groups(SILENT, "unguided")
    (first,) = alerts.notices([], ended_groups)
    (second,) = alerts.notices([], groups(SILENT, "unguided", outcome="kept", successes=1))
    assert [(notice.subject, notice.raised) for notice in (first, second)] == [
        ("arm unguided", True),
        ("arm unguided", False),
    ]


def test_a_failed_save_is_reported_once_and_withdrawn_after_the_next_checkpoint() -> None:
    def report(step: int, failures: int, saved: int) -> LearnerStep:
        return learner_step(step, checkpoint_failures=failures, checkpoint_step=saved)

    alerts = alerts_of(unguided=1)
    assert messages(alerts, [report(5, 0, -1)], []) == []
    (said,) = messages(alerts, [report(11, 1, 5)], [])
    assert said.startswith("1 checkpoint(s) could not be saved, the newest saved one is of step 5")
    assert messages(alerts, [], []) == []
    assert messages(alerts, [report(12, 1, 5)], []) == []
    assert messages(alerts, [report(16, 1, 15)], []) == ["checkpoints are saved again: step 15"]
    assert messages(alerts, [report(17, 1, 15)], []) == []


def test_a_collapse_is_noted_once_with_its_remedy_until_twenty_healthy_steps_later() -> None:
    alerts, reason = alerts_of(unguided=1), "effective sample size 0.20 below 0.3"
    run = [learner_step(s, watchdog=reason if s in (5, 7) else None) for s in range(1, 28)]
    assert messages(alerts, run[:26], []) == [
        f"step 5: {reason}; lower learner.learning_rate or learner.max_lag, raise learner.batch_samples, or set "
        "learner.watchdog.action=rollback"
    ]
    assert messages(alerts, run[26:], []) == ["the steps since 7 are healthy"]


def test_every_rollback_is_noted() -> None:
    alerts = alerts_of(unguided=1)
    undone = {8: None, 9: 3, 10: None, 15: 3}
    run = [learner_step(s, watchdog="x", applied=False, rolled_back_to=to) for s, to in undone.items()]
    assert messages(alerts, run, []) == [
        "step 8: x; its gradient was skipped",
        "step 9: x; rolled back to the weights of step 3, at a lower learning rate",
        "step 15: x; rolled back to the weights of step 3, at a lower learning rate",
    ]
