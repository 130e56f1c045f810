"""The outcome of a run in three answers, by numbers one can check by hand."""

from conf.load import load
from deploy.store.alert_windows import COLLAPSE
from deploy.store.watchdogs import watchdogs
from learner.engine_bound import engine_bound
from tests.reports import learner_step

CONFIG = load(None, [])


def test_a_healthy_run_has_three_good_answers() -> None:
    found = watchdogs(CONFIG, [learner_step(step) for step in range(1, 9)], {}, tested=20, carried=19)
    assert [(each.title, each.state) for each in found] == [
        ("Learner and engine agree", "good"), ("No collapse", "good"), ("Guidance transfers", "good"),
    ]  # fmt: skip


def test_a_run_that_trains_on_the_rollouts_of_another_model_is_named() -> None:
    apart = [learner_step(step, logprob_rms=7.8, logprob_rms_lag0=7.8, ess=0.19) for step in range(1, 9)]
    (found, *_) = watchdogs(CONFIG, apart, {}, tested=0, carried=0)
    assert (found.title, found.state) == ("Learner and engine disagree", "bad")
    bound = f"7.8 nats apart on tokens of lag 0; the bound is {engine_bound(CONFIG):g}"
    assert found.detail == f"{bound}. The effective sample size is 0.19 of 1."
    lagged = [learner_step(step, logprob_rms=7.8, logprob_rms_lag0=None, ess=0.19) for step in range(1, 9)]
    (found, *_) = watchdogs(CONFIG, lagged, {}, tested=0, carried=0)
    assert found.detail.startswith("7.8 nats apart on tokens of any lag. ")


def test_one_outlier_is_no_disagreement_and_no_comparison_is_no_agreement() -> None:
    steps = [learner_step(step, logprob_rms_lag0=9.0 if step == 8 else 1e-6) for step in range(1, 9)]
    assert watchdogs(CONFIG, steps, {}, tested=0, carried=0)[0].state == "good"
    lagged = [learner_step(step, logprob_rms_lag0=None) for step in range(1, 9)]
    assert watchdogs(CONFIG, lagged, {}, tested=0, carried=0)[0].state == "unknown"
    assert {each.state for each in watchdogs(CONFIG, [], {}, tested=0, carried=0)} == {"unknown"}


def test_a_collapse_that_the_driver_noted_holds_until_it_is_withdrawn() -> None:
    _, found, _ = watchdogs(CONFIG, [learner_step()], {COLLAPSE: "step 7: entropy 0.001"}, tested=0, carried=0)
    assert (found.title, found.state, found.detail) == ("Collapse", "bad", "step 7: entropy 0.001.")


def test_transfer_is_judged_from_ten_problems_on() -> None:
    states = [watchdogs(CONFIG, [], {}, tested=t, carried=c)[-1].state for t, c in ((9, 0), (10, 0), (20, 1), (21, 1))]
    assert states == ["unknown", "bad", "good", "bad"]  # 1 of 20 is 5 %
    unguided = load(None, ["experiment=hard"])
    assert len(watchdogs(unguided, [], {}, tested=0, carried=0)) == 2
