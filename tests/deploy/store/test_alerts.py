"""Each rule raises its alert with a remedy, and a healthy run has none."""

from dataclasses import replace
from typing import Any

import pytest

from broker.balance import Balance
from conf.schema import RunConfig
from deploy.store.alerts import Moment, alerts
from deploy.store.run_view import RoleStatus
from tests.reports import ended, learner_step

BALANCE = Balance(
    issued=100, trained=60, filtered={"zero_advantage": 30}, replaced=0, stale=0, failed={},
    in_flight={"leased": 10, "reissue": 0, "stream": 0, "ring": 0, "taken": 0}, trained_samples=480, ring_samples=0,
    committed=12, taken=12, limit=None, totals={},
)  # fmt: skip
STEP = learner_step(12, seconds=1.0, ess=0.95)
ROLE = RoleStatus(name="actor-0", status="33 groups in flight", silence_s=0.5, late=False)
LATE = RoleStatus(name="actor-0", status="33 groups in flight", silence_s=31.0, late=True)
HEALTHY = Moment(
    config=RunConfig(), active=True, balance=BALANCE, groups=[ended(3, step=1)] * 64, learner=[STEP] * 5, roles=[ROLE],
    driver_alerts={}, canary={"actor-0": 0}, since_step_s=2.0, redis_error=None,
)  # fmt: skip
STARVED = {"hard bucket": "steps 1 to 20: the hard bucket is starved"}
COLLAPSE = {"collapse": "step 31: effective sample size 0.20 below 0.3; its gradient was skipped"}
APART = learner_step(12, ess=0.95, logprob_rms_lag0=6e-4)
TIMEOUTS = [ended(3, step=1)] * 32 + [ended(3, step=1, judged=6)] * 32


def test_a_healthy_run_has_no_alerts() -> None:
    assert alerts(HEALTHY) == []
    assert alerts(replace(HEALTHY, groups=[], learner=[], since_step_s=None)) == []


@pytest.mark.parametrize(
    ("change", "title", "level", "remedy"),
    [
        ({"redis_error": "refused"}, "Redis does not answer", "critical", "valkey.log"),
        ({"balance": replace(BALANCE, issued=101)}, "The balance does not hold", "critical", "pope audit"),
        ({"canary": {"actor-0": 3}}, "Canary: actor-0 holds other weights", "critical", "weights.backend"),
        ({"roles": [LATE]}, "actor-0 is silent", "critical", "deploy.dead_after_s=60 s"),
        ({"since_step_s": 90.0}, "No optimizer step", "critical", "learner-0.log"),
        ({"driver_alerts": STARVED}, "Little is learned from the hard bucket", "warning", "pope starvation"),
        ({"driver_alerts": COLLAPSE}, "The policy may collapse", "critical", "learner.max_lag"),
        ({"groups": [ended(3, step=1, truncated=6)] * 64}, "Answers do not end", "warning", "max_completion_tokens"),
        ({"groups": TIMEOUTS}, "The verifier fails more and more", "warning", "verifier.deadline_s"),
        ({"balance": replace(BALANCE, failed={"unreadable": 2}, issued=102)}, "Unreadable groups", "warning", "dead_l"),
        (
            {"balance": replace(BALANCE, replaced=12, issued=112)},
            "The learner is too slow for the actors",
            "warning",
            "learner.num_ranks",
        ),
        ({"learner": [learner_step(12, ess=0.1)] * 5}, "Few tokens carry the gradient", "warning", "learning_rate"),
        ({"learner": [APART] * 3}, "Learner and engine drift apart", "warning", "learner.packing=off"),
        ({"learner": [learner_step(12, seconds=1.0, applied=False)]}, "Steps were skipped", "warning", "gradient_clip"),
    ],
)
def test_each_rule_raises_its_alert_with_a_remedy(change: dict[str, Any], title: str, level: str, remedy: str) -> None:
    (alert,) = alerts(replace(HEALTHY, **change))
    assert (alert.title, alert.level) == (title, level)
    assert remedy in alert.remedy


def test_one_outlier_of_the_engine_raises_no_alert() -> None:
    unfresh = learner_step(12, ess=0.95, logprob_rms_lag0=None)
    assert alerts(replace(HEALTHY, learner=[STEP, STEP, APART, unfresh])) == []


def test_an_ended_run_raises_no_alert_about_progress() -> None:
    assert alerts(replace(HEALTHY, active=False, since_step_s=9e9)) == []


def test_a_step_that_the_watchdog_skipped_had_a_finite_gradient() -> None:
    skipped = learner_step(12, applied=False, watchdog="effective sample size 0.20 below 0.3")
    assert alerts(replace(HEALTHY, learner=[STEP, skipped])) == []


def test_critical_alerts_come_first() -> None:
    both = replace(HEALTHY, driver_alerts=STARVED, canary={"actor-0": 1})
    assert [alert.level for alert in alerts(both)] == ["critical", "warning"]
