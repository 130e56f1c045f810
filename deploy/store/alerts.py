"""The alerts of a run, each with a remedy: one table of rules over the read model. Pure.

Most rules depend on the present state of a run; viewers evaluate them at every refresh. Some depend on consecutive
windows of steps or groups (`alert_windows.py`): the driver evaluates them, and writes a note when an alert is raised or
no longer holds. Viewers show such an alert until a later note withdraws it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

import msgspec

from broker.balance import Balance
from broker.reports import DriverNote, GroupEnd, LearnerStep
from conf.schema import RunConfig
from deploy.store.alert_windows import (
    CHECKPOINTS,
    COLLAPSE,
    COLLAPSE_REMEDY,
    Collapse,
    Notice,
    SilentArm,
    StarvedBucket,
    UnsavedCheckpoints,
    WindowAlert,
)
from deploy.store.run_view import RoleStatus
from learner.engine_bound import engine_bound

NEWEST_GROUPS = 64
"""Number of newest groups that rules about groups use."""
MAX_TRUNCATED_SHARE = 0.5
MIN_PROGRESS_S = 60.0
"""Shortest time without an optimizer step that raises an alert, seconds."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A problem of a run that needs attention, and its remedy."""

    level: Literal["warning", "critical"]
    title: str
    detail: str
    remedy: str


@dataclass(frozen=True)
class Moment:
    """The state of a run that the rules check."""

    config: RunConfig
    active: bool
    """The run has begun and not ended."""
    balance: Balance
    groups: Sequence[GroupEnd]
    """The newest groups that ended preprocessing."""
    learner: Sequence[LearnerStep]
    """The newest reports of the learner."""
    roles: Sequence[RoleStatus]
    driver_alerts: Mapping[str, str]
    """Subject of an alert of the driver that holds -> its note; see `update_driver_alerts`."""
    canary: Mapping[str, int]
    """Actor -> parameters that differed from the learner's after its newest sync."""
    since_step_s: float | None
    """Seconds since the newest step; None before the first."""
    redis_error: str | None
    """Why Redis does not answer; None when it does."""


@dataclass(frozen=True)
class Rule:
    """A row of the table."""

    check: Callable[[Moment], Iterator[Alert]]
    windows: tuple[type[WindowAlert], ...] = ()
    """Windows that the driver evaluates for this rule."""


def alerts(moment: Moment) -> list[Alert]:
    """The alerts of all rules, critical ones first."""
    raised = [alert for rule in RULES for alert in rule.check(moment)]
    return sorted(raised, key=lambda alert: alert.level != "critical")


def update_driver_alerts(holding: dict[str, str], notes: Iterable[DriverNote]) -> None:
    """Updates the alerts that hold (subject -> note) in place by newer notes of the driver."""
    for note in notes:
        if note.alert is not None:
            holding.pop(note.alert, None)
            if note.raised:
                holding[note.alert] = note.note


class DriverAlerts:
    """The windows of all rules, for the driver."""

    def __init__(self, config: RunConfig) -> None:
        self._windows = [window(config) for rule in RULES for window in rule.windows]

    def notices(self, learner: Sequence[LearnerStep], groups: Sequence[GroupEnd]) -> list[Notice]:
        """Changes of the alerts caused by the reports since the last call."""
        return [notice for window in self._windows for notice in window.notices(learner, groups)]


def redis_does_not_answer(m: Moment) -> Iterator[Alert]:
    if m.redis_error is not None:
        yield Alert(
            level="critical",
            title="Redis does not answer",
            detail=f"{m.redis_error}. The values shown are the last ones read; this page reconnects by itself.",
            remedy="None if the run has ended. Otherwise see redis/valkey.log in the run folder, or your own server.",
        )


def balance_does_not_hold(m: Moment) -> Iterator[Alert]:
    if not m.balance.holds:
        yield Alert(
            level="critical",
            title="The balance does not hold",
            detail=f"{m.balance.issued} groups were issued, but the outcomes and groups in flight differ in sum.",
            remedy="This is a bug, or keys of the run were changed by hand: keep the output of `pope audit`.",
        )


def canary_mismatch(m: Moment) -> Iterator[Alert]:
    for actor, mismatches in sorted(m.canary.items()):
        if mismatches:
            yield Alert(
                level="critical",
                title=f"Canary: {actor} holds other weights",
                detail=f"{mismatches} parameters differed from the learner's after its newest sync.",
                remedy="The engine is replaced automatically. If it happens again, see the actor's log, and set "
                "weights.backend=file to find out whether the transfer is the cause.",
            )


def silent_role(m: Moment) -> Iterator[Alert]:
    for role in m.roles:
        if role.late:
            yield Alert(
                level="critical",
                title=f"{role.name} is silent",
                detail=f"No heartbeat for {role.silence_s:.0f} s; the last was: {role.status}.",
                remedy=f"It is replaced after deploy.dead_after_s={m.config.deploy.dead_after_s:g} s. "
                f"See logs/{role.name}.log.",
            )


def no_progress(m: Moment) -> Iterator[Alert]:
    if not m.active or m.since_step_s is None:
        return
    times = [report.seconds for report in m.learner]
    limit_s = max(MIN_PROGRESS_S, 20 * median(times)) if times else MIN_PROGRESS_S
    if m.since_step_s > limit_s:
        waiting = ", ".join(f"{count} {place}" for place, count in m.balance.in_flight.items() if count) or "none"
        yield Alert(
            level="critical",
            title="No optimizer step",
            detail=f"The newest was {m.since_step_s:.0f} s ago. Groups in flight: {waiting}.",
            remedy="With many in the ring, the learner hangs: see logs/learner-0.log. With none, actors publish no "
            "groups, or all groups are filtered: see Accounting.",
        )


def little_is_learned(m: Moment) -> Iterator[Alert]:
    for subject, note in m.driver_alerts.items():
        if subject not in (CHECKPOINTS, COLLAPSE):
            yield Alert(
                level="warning",
                title=f"Little is learned from the {subject}",
                detail=f"{note}.",
                remedy="See the outcomes of its rollouts in `pope starvation`, and each problem in `pope ledger`.",
            )


def checkpoints_are_not_saved(m: Moment) -> Iterator[Alert]:
    if note := m.driver_alerts.get(CHECKPOINTS):
        yield Alert(
            level="warning",
            title="Checkpoints are not saved",
            detail=f"{note}.",
            remedy="Free disk space in the run folder; a resumed run begins at the newest checkpoint that was saved.",
        )


def the_policy_may_collapse(m: Moment) -> Iterator[Alert]:
    if note := m.driver_alerts.get(COLLAPSE):
        yield Alert(
            level="critical",
            title="The policy may collapse",
            detail=f"{note[:1].upper()}{note[1:]}.",
            remedy=f"{COLLAPSE_REMEDY[:1].upper()}{COLLAPSE_REMEDY[1:]}, in a new run with model.path set to a "
            "checkpoint from before.",
        )


def verifier_failures(m: Moment) -> Iterator[Alert]:
    newest = m.groups[-NEWEST_GROUPS:]
    half = len(newest) // 2
    earlier, later = (_unjudged(part) for part in (newest[:half], newest[half:]))
    if half and later > 0.02 and later >= earlier:
        yield Alert(
            level="warning",
            title="The verifier fails" + (" more and more" if later > earlier else ""),
            detail=f"{later:.1%} of the newest rollouts could not be judged, {earlier:.1%} of those before.",
            remedy="Raise verifier.deadline_s or verifier.workers; the machine may be overloaded. The log of the actor "
            "names the errors of a verifier or reward of your own.",
        )


def rollouts_are_truncated(m: Moment) -> Iterator[Alert]:
    newest = m.groups[-NEWEST_GROUPS:]
    rollouts = sum(group.rollouts for group in newest)
    share = sum(group.truncated for group in newest) / rollouts if rollouts else 0.0
    if share > MAX_TRUNCATED_SHARE:
        yield Alert(
            level="warning",
            title="Answers do not end",
            detail=f"The token budget cut {share:.0%} of the newest rollouts.",
            remedy="If from the start: raise actors.max_completion_tokens. If since a certain step: the policy "
            "degraded; start a new run with a lower learner.learning_rate and model.path set to a checkpoint from "
            "before.",
        )


def unreadable_groups(m: Moment) -> Iterator[Alert]:
    if count := m.balance.failed.get("unreadable", 0):
        yield Alert(
            level="warning",
            title="Unreadable groups",
            detail=f"{count} groups could not be read by preprocessing.",
            remedy="The stream `dead_letters` holds their first bytes and the reason; a frequent cause is roles of "
            "different versions of the program.",
        )


def groups_expire_in_the_ring(m: Moment) -> Iterator[Alert]:
    lost = m.balance.replaced + m.balance.stale
    if lost >= 10 and lost > 0.1 * max(1, m.balance.trained):
        yield Alert(
            level="warning",
            title="The learner is too slow for the actors",
            detail=f"{m.balance.replaced} groups were replaced in a full ring, {m.balance.stale} became stale, "
            f"{m.balance.trained} were trained.",
            remedy="Use more learner ranks (learner.num_ranks), larger rows (learner.row_tokens), or fewer actors.",
        )


def weights_moved_too_far(m: Moment) -> Iterator[Alert]:
    newest = m.learner[-5:]
    if newest and (ess := median(report.ess for report in newest)) < 0.3:
        yield Alert(
            level="warning",
            title="Few tokens carry the gradient",
            detail=f"The effective sample size of the newest steps is {ess:.2f} of 1.",
            remedy="The policy differs too much from the sampling one: lower learner.learning_rate, or set "
            "learner.max_lag.",
        )


def learner_and_engine_drift_apart(m: Moment) -> Iterator[Alert]:
    bound = engine_bound(m.config)
    rms = [report.logprob_rms_lag0 for report in m.learner[-20:] if report.logprob_rms_lag0 is not None]
    if len(rms) >= 3 and (newest := median(rms[-5:])) > bound / 2:
        yield Alert(
            level="warning",
            title="Learner and engine drift apart",
            detail=f"At lag 0 their log-probabilities differ by {newest:.3g} nats; a run stops at {bound:g} "
            "(without outliers).",
            remedy="Set model.dtype=float32, or learner.packing=off if the architecture is not listed in "
            "docs/models.md; weights.canary_every=1 shows whether a weight sync is the cause.",
        )


def skipped_steps(m: Moment) -> Iterator[Alert]:
    skipped = [str(report.step) for report in m.learner[-20:] if not report.applied and not report.watchdog]
    if skipped:
        yield Alert(
            level="warning",
            title="Steps were skipped",
            detail=f"The gradient was not finite in step {', '.join(skipped)}.",
            remedy="Lower learner.learning_rate, or set learner.gradient_clip.",
        )


def _unjudged(groups: Sequence[GroupEnd]) -> float:
    """Share of the rollouts whose verifier failed."""
    rollouts = sum(group.rollouts for group in groups)
    return 1 - sum(group.judged for group in groups) / rollouts if rollouts else 0.0


RULES: tuple[Rule, ...] = (
    Rule(redis_does_not_answer),
    Rule(balance_does_not_hold),
    Rule(canary_mismatch),
    Rule(silent_role),
    Rule(no_progress),
    Rule(little_is_learned, windows=(StarvedBucket, SilentArm)),
    Rule(checkpoints_are_not_saved, windows=(UnsavedCheckpoints,)),
    Rule(the_policy_may_collapse, windows=(Collapse,)),
    Rule(verifier_failures),
    Rule(rollouts_are_truncated),
    Rule(unreadable_groups),
    Rule(groups_expire_in_the_ring),
    Rule(weights_moved_too_far),
    Rule(learner_and_engine_drift_apart),
    Rule(skipped_steps),
)
