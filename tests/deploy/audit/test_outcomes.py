"""What a run achieved is judged by its reports."""

from typing import Any

import pytest

from broker.balance import Balance
from broker.reports import GroupEnd, LearnerStep
from conf.load import load
from deploy.audit.outcomes import outcomes
from tests.reports import ended, learner_step

CONFIG = load(None, ["problems.arms={unguided: 1, guided: 1}", "deploy.silent_groups=40"])
STEPS = 30


def good_steps(**fields: Any) -> list[LearnerStep]:
    return [learner_step(step, **fields) for step in range(1, STEPS + 1)]


def good_groups(arms: tuple[str, ...] = ("unguided", "guided"), **fields: Any) -> list[GroupEnd]:
    return [ended(group_id=n, arm=arms[n % len(arms)], **fields) for n in range(200)]


def bad(steps: list[LearnerStep], groups: list[GroupEnd]) -> dict[str, str]:
    balance = Balance(
        issued=200, trained=200, filtered={}, replaced=0, stale=0, failed={}, in_flight={}, trained_samples=1600,
        ring_samples=0, committed=STEPS, taken=STEPS, limit=None, totals={},
    )  # fmt: skip
    return {f.promise: f.violation for f in outcomes(CONFIG, balance, steps, groups) if f.violation}


def test_a_run_that_learned_has_good_outcomes() -> None:
    assert bad(good_steps(), good_groups()) == {}


def test_an_engine_that_disagrees_at_lag_zero_is_bad_and_one_outlier_is_not() -> None:
    steps = good_steps()
    steps[9] = learner_step(10, logprob_rms_lag0=5.0)
    assert bad(steps, good_groups()) == {}
    found = bad(good_steps(logprob_rms_lag0=0.5), good_groups())
    assert found == {"agreement": "from step 1 on they differ by 0.5 nats, the bound is 0.001"}


@pytest.mark.parametrize("healthy_since", [0, 25])
def test_a_policy_that_is_unhealthy_at_the_end_has_collapsed(healthy_since: int) -> None:
    steps = good_steps()
    last = STEPS - healthy_since
    steps[last - 1] = learner_step(last, watchdog="effective sample size 0.1 < 0.3")
    found = bad(steps, good_groups())
    assert ("effective sample size" in found.get("no collapse", "")) is (healthy_since == 0)


def test_an_arm_that_never_reaches_the_learner_is_starved() -> None:
    assert "no group of arm guided" in bad(good_steps(), good_groups(("unguided",)))["no starved arm"]
    assert bad(good_steps()[:3], good_groups(("unguided",))) == {}, "the run has just begun"


def test_an_arm_whose_groups_are_all_dropped_is_starved() -> None:
    groups = [replace_outcome(group) for group in good_groups(successes=0)]
    assert "arm" in bad(good_steps(), groups)["no starved arm"]


def replace_outcome(group: GroupEnd) -> GroupEnd:
    return ended(group_id=group.group_id, arm=group.arm, successes=0, outcome="zero_advantage")
