"""What the watchdog decides, on steps as healthy and collapsing runs recorded them."""

import json
import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from msgspec.structs import replace as change

from broker.records import TrainGroup
from conf.schema import WatchdogSettings
from learner.engine_agreement import Agreement
from learner.token_statistics import TokenStatistics
from learner.watchdog import MEMORY, Health, Level, Signals, Verdict, Watchdog, judge, level_reasons, saved
from learner.watchdog_signals import lagged_rms, read_signals
from tests.learner.tiny import random_groups

NAN = float("nan")
ROLLBACK = WatchdogSettings(action="rollback", window=4, unhealthy_steps=2, max_rollbacks=2)
TOKENS = TokenStatistics(
    loss=0.0, num_tokens=10, ess=0.9, clip_share=0.0, ratio_max=1.0, ratio_mean=1.0, entropy_mean=0.1,
    logprob_rms=0.3, kl_mean=None, ess_corrected=0.9,
)  # fmt: skip


def step(number: int, **fields: Any) -> Signals:
    """A healthy step, with the fields given in place of the usual ones."""
    usual = {"ess": 0.95, "drift": 0.05, "reward": 0.4, "no_answer": 0.02, "cut": 0.0, "oldest_version": number - 1}
    return Signals(step=number, **{**usual, **fields})


def verdicts(settings: WatchdogSettings, steps: Iterable[Signals], health: Health | None = None) -> list[Verdict]:
    watchdog = Watchdog(settings)
    watchdog.health = health or watchdog.health
    return [watchdog.judge(signals) for signals in steps]


HEALTHY_ESS = [0.99, 0.97, 0.51, 0.8, 0.93, 0.65, 0.47, 0.9, 0.75, 0.98]
"""The smallest values of recorded runs that ended well, among usual ones."""
COLLAPSING = {
    # Shipped settings beside other work: few tokens carry the gradient at step 31, 0.9 nats apart at step 70.
    "spike": [step(s, ess=0.95 if s < 31 else 0.2, drift=0.03 * max(1, s - 40)) for s in range(1, 71)],
    # RL after a fitted SFT.
    "from the start": [step(s, ess=ess) for s, ess in enumerate([0.16, 0.02, 0.09, 0.05], start=1)],
    # The policy writes ever longer rollouts without an answer.
    "no answers": [step(s, no_answer=min(0.9, 0.05 * max(0, s - 20)), cut=0.02 * max(0, s - 20)) for s in range(1, 60)],
    # Of groups of 16, one rollout is still right now and then.
    "no reward": [step(s, reward=0.6 if s < 30 else 0.07) for s in range(1, 60)],
}  # fmt: skip
ALARM = {"spike": 31, "from the start": 1, "no answers": 30, "no reward": 37}
"""The first unhealthy step of each."""


@pytest.mark.parametrize("action", ["warn", "skip", "rollback"])
def test_a_healthy_run_is_left_alone(action: Any) -> None:
    """Rewards rise, then fall as solved problems leave; a few rollouts are cut, and ESS dips after spikes."""
    rewards = [0.25 + 0.005 * s if s < 80 else 0.2 for s in range(1, 120)]
    run = [
        step(s, ess=HEALTHY_ESS[s % 10], drift=0.02 * (s % 7), reward=reward, no_answer=0.3 * 0.95**s, cut=s % 5 / 100)
        for s, reward in enumerate(rewards, start=1)
    ]
    found = verdicts(WatchdogSettings(action=action), run, Health(confirmed=0))
    assert found == [Verdict()] * len(run)


@pytest.mark.parametrize("name", COLLAPSING)
def test_a_collapse_is_seen_early(name: str) -> None:
    found = verdicts(WatchdogSettings(action="warn"), COLLAPSING[name])
    assert next(s for s, verdict in enumerate(found, start=1) if verdict.reasons) == ALARM[name]
    assert not any(verdict.skip or verdict.roll_back_to for verdict in found)


def test_off_judges_nothing() -> None:
    assert verdicts(WatchdogSettings(action="off"), [step(1, ess=0.0)]) == [Verdict()]


@pytest.mark.parametrize(
    ("signals", "reason"),
    [
        (step(1, ess=0.29), "effective sample size 0.29 below 0.3"),
        (step(1, ess=NAN), "effective sample size nan below 0.3"),
        (step(1, drift=0.51), "log-probabilities 0.51 nats off the sampled ones, above 0.5"),
        (step(1, drift=NAN), "log-probabilities nan nats off the sampled ones, above 0.5"),
    ],
)
def test_a_batch_too_far_from_the_policy_is_skipped(signals: Signals, reason: str) -> None:
    assert verdicts(WatchdogSettings(action="skip"), [signals]) == [Verdict((reason,), skip=True)]


def test_a_batch_at_its_bounds_or_without_tokens_is_trained() -> None:
    run = [step(1, ess=0.3, drift=0.5), step(2, ess=None, drift=None)]
    assert verdicts(WatchdogSettings(action="skip"), run) == [Verdict()] * 2
    assert verdicts(WatchdogSettings(action="skip", max_drift=None), [step(1, drift=9.0)]) == [Verdict()]


def test_levels_are_means_of_a_window_against_the_best_window() -> None:
    """Rewards 0.5 0.5 0.1 0.1 in windows of 2: means 0.5, 0.3, 0.1; 80 % below 0.5 is 0.1."""
    settings = WatchdogSettings(window=2, reward_fall=0.8, no_answer_rise=0.25, cut_rise=0.25)
    levels = [Level(s, reward, 0.0, 0.0) for s, reward in enumerate([0.5, 0.5, 0.1, 0.0], start=1)]
    assert level_reasons(levels[:3], settings) == []
    assert level_reasons(levels, settings) == ["reward 0.05, 80% below its best level 0.50"]
    rising = [Level(s, 0.5, share, share / 2) for s, share in enumerate([0.0, 0.2, 0.2, 0.6], start=1)]
    assert level_reasons(rising[:1], settings) == []
    assert level_reasons(rising[:3], settings) == []
    assert level_reasons(rising, settings) == ["40% of the rollouts without an answer, 10% at the best"]


def test_a_worse_policy_is_no_reason_to_drop_a_gradient() -> None:
    (*_, last) = verdicts(WatchdogSettings(action="skip"), COLLAPSING["no reward"])
    assert last.reasons
    assert not last.skip


def test_the_best_level_is_that_of_recent_steps() -> None:
    (*_, last) = verdicts(WatchdogSettings(), [step(s, reward=0.6 if s <= 8 else 0.1) for s in range(1, 9 + MEMORY)])
    assert not last.reasons


def test_a_rollback_is_due_once_enough_of_the_newest_steps_are_unhealthy() -> None:
    run = [step(s, ess=0.1 if s in (5, 8, 13, 15) else 0.9) for s in range(1, 16)]
    found = verdicts(ROLLBACK, run, Health(confirmed=3))
    assert [s for s, verdict in enumerate(found, start=1) if verdict.roll_back_to is not None] == [8, 15]
    assert found[7] == Verdict(("effective sample size 0.10 below 0.3",), skip=True, roll_back_to=3)
    assert verdicts(ROLLBACK, run)[7] == Verdict(found[7].reasons, skip=True), "without a checkpoint to return to"


def test_each_rollback_lowers_the_rate_and_one_too_many_ends_the_run() -> None:
    watchdog = Watchdog(ROLLBACK)
    watchdog.saved(0)
    rates, ends = [], []
    for number in range(1, 7):
        ends.append(watchdog.judge(step(number, ess=0.1)).gives_up)
        rates.append(watchdog.rate)
    assert rates == [1.0, 0.5, 0.5, 0.25, 0.25, 0.25]
    assert ends == [False] * 5 + [True]


def test_batches_of_the_weights_that_were_undone_count_no_more() -> None:
    """They are still skipped, but say nothing about the weights that were restored."""
    before = Health(confirmed=3, restored=10, rollbacks=1)
    after, verdict = judge(before, step(12, ess=0.1, reward=0.0, oldest_version=9), ROLLBACK)
    assert after == before
    assert (verdict.skip, verdict.roll_back_to) == (True, None)
    after, _ = judge(before, step(12, ess=0.1, oldest_version=10), ROLLBACK)
    assert after.unhealthy == (True,)


def test_after_a_rollback_the_levels_are_those_of_the_restored_weights() -> None:
    watchdog = Watchdog(ROLLBACK)
    watchdog.saved(0)
    for number in range(1, 12):
        watchdog.judge(step(number))
        if number == 4:
            watchdog.saved(4)
    assert watchdog.health.confirmed == 4
    watchdog.judge(step(12, ess=0.1))
    assert watchdog.judge(step(13, ess=0.1)).roll_back_to == 4
    assert [level.step for level in watchdog.health.levels] == [1, 2, 3, 4]
    assert replace(watchdog.health, levels=()) == Health(confirmed=4, rollbacks=1, restored=13)


def test_a_checkpoint_is_confirmed_by_as_many_healthy_steps_as_a_window_has() -> None:
    health, seen = saved(Health(), 0), []
    assert health == Health(confirmed=0)
    for number in range(1, 14):
        health, _ = judge(health, step(number, ess=0.1 if number == 6 else 0.9), ROLLBACK)
        if number in (2, 4, 6, 7, 10, 12):  # at 6 and 7 an unhealthy step is in the window; 10 is the first after it
            health = saved(health, number)
        seen.append((health.confirmed, health.pending))
    assert seen == [(0, None), *[(0, 2)] * 3, (0, 2), *[(0, None)] * 4, *[(0, 10)] * 3, (0, 10)]
    health, _ = judge(health, step(14), ROLLBACK)
    assert (health.confirmed, health.pending) == (10, None)


def test_the_checkpoints_that_may_be_restored_are_kept() -> None:
    for action, kept in (("rollback", {3, 9}), ("skip", set())):
        watchdog = Watchdog(replace(ROLLBACK, action=action), Health(confirmed=3, pending=9).plain())
        assert watchdog.checkpoints == kept


def test_the_state_decides_the_same_after_a_checkpoint() -> None:
    """A manifest is JSON; floats come back exactly."""
    run = [step(s, reward=s / 7, ess=0.1 if s in (9, 11) else 0.9) for s in range(1, 13)]
    whole, first = Watchdog(ROLLBACK), Watchdog(ROLLBACK)
    whole.saved(0)
    first.saved(0)
    expected = [whole.judge(signals) for signals in run]
    for signals in run[:9]:
        first.judge(signals)
    resumed = Watchdog(ROLLBACK, json.loads(json.dumps(first.health.plain())))
    assert resumed.health == first.health
    assert [resumed.judge(signals) for signals in run[9:]] == expected[9:]
    assert (resumed.health, resumed.rate) == (whole.health, 0.5)


def test_the_drift_leaves_out_rollouts_of_lag_0() -> None:
    """10 tokens of rms 0.3, six of which are fresh with rms 0.1: 10 x 0.09 - 6 x 0.01 = 0.84 over 4 tokens."""
    fresh = Agreement(num_tokens=6, rms=0.1, typical_rms=0.1, largest=0.2)
    assert lagged_rms(TOKENS, fresh) == pytest.approx(0.21**0.5)
    assert lagged_rms(TOKENS, None) == pytest.approx(0.3)
    assert lagged_rms(TOKENS, replace(fresh, num_tokens=10)) is None
    assert math.isnan(lagged_rms(replace(TOKENS, logprob_rms=NAN), fresh) or 0.0)


def test_signals_are_shares_of_the_rollouts_that_the_policy_sampled() -> None:
    groups = random_groups(2, 4, seed=3, version=5, oracles=[0], failed=[(1, 0)])
    rollouts = [rollout for group in groups for rollout in group.rollout_group.policy_rollouts]
    assert len(rollouts) == 7
    signals = read_signals(8, with_endings(groups), TOKENS, None)
    rewards = [rollout.reward for rollout in rollouts if rollout.reward is not None]
    assert signals.reward == pytest.approx(sum(rewards) / 6)
    assert (signals.no_answer, signals.cut) == (pytest.approx(2 / 7), pytest.approx(1 / 7))
    assert (signals.step, signals.ess, signals.oldest_version) == (8, 0.9, 5)
    assert read_signals(8, groups, replace(TOKENS, num_tokens=0, ess=0.0), None).ess is None


def with_endings(groups: list[TrainGroup]) -> list[TrainGroup]:
    """The first rollout of each group has no answer; the second group's last one was cut."""
    found = []
    for number, group in enumerate(groups):
        first, *others, last = group.rollout_group.rollouts
        first = change(first, verdict="no_answer")
        last = change(last, finish_reason="length") if number else last
        rollout_group = change(group.rollout_group, rollouts=(first, *others, last))
        found.append(change(group, rollout_group=rollout_group))
    return found
