"""What a person should look at now, and what to do about it. Pure: rules over one moment of a run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from broker.balance import Balance
from conf.schema import RunConfig
from deploy.dashboard.views import Alert, Role

Report = Mapping[str, str]

NEWEST_GROUPS = 64
"""Rules about groups look at so many of the newest."""
CUT = 0.5
MIN_PROGRESS_S = 60.0


@dataclass(frozen=True)
class Moment:
    """What the rules look at."""

    config: RunConfig
    going: bool
    """The run has begun and not ended."""
    balance: Balance
    groups: Sequence[Report]
    """The newest groups that ended preprocessing."""
    learner: Sequence[Report]
    """The newest reports of the learner."""
    roles: Sequence[Role]
    standing: Mapping[str, str]
    """What the driver said last of the hard bucket or of an arm (`deploy/run/alerts.py`), where it still holds."""
    canary: Mapping[str, int]
    """Actor -> parameters that differed from the learner's after its newest sync."""
    since_step_s: float | None
    """Seconds since the newest step; None before the first."""
    redis_away: str | None
    """Why Redis does not answer."""


def alerts(moment: Moment) -> list[Alert]:
    """Critical ones first."""
    found = [alert for rule in RULES for alert in rule(moment)]
    return sorted(found, key=lambda alert: alert.level != "critical")


def redis_is_away(m: Moment) -> Iterator[Alert]:
    if m.redis_away is not None:
        yield Alert(
            level="critical",
            title="Redis does not answer",
            detail=f"{m.redis_away}. What you see was read last; this page goes on by itself.",
            remedy="Nothing, if the run has ended. Else look at redis/valkey.log of the run folder, or at your server.",
        )


def books_do_not_close(m: Moment) -> Iterator[Alert]:
    if not m.balance.holds:
        yield Alert(
            level="critical",
            title="The books do not close",
            detail=f"{m.balance.issued} groups were issued, and not every one of them is somewhere.",
            remedy="This is a bug, or somebody changed keys of the run: keep the output of `pope audit`.",
        )


def canary_mismatch(m: Moment) -> Iterator[Alert]:
    for actor, wrong in sorted(m.canary.items()):
        if wrong:
            yield Alert(
                level="critical",
                title=f"Canary: {actor} holds other weights",
                detail=f"{wrong} parameters differed from the learner's after its newest sync.",
                remedy="The engine is replaced by itself. If it comes again, set weights.backend=file to tell a broken "
                "transfer from broken weights, and look at the actor's log.",
            )


def silent_role(m: Moment) -> Iterator[Alert]:
    for role in m.roles:
        if role.late:
            yield Alert(
                level="critical",
                title=f"{role.name} is silent",
                detail=f"No sign of life for {role.silence_s:.0f} s; the last was: {role.status}.",
                remedy=f"It is replaced after deploy.dead_after_s={m.config.deploy.dead_after_s:g} s. "
                f"Look at logs/{role.name}.log.",
            )


def no_progress(m: Moment) -> Iterator[Alert]:
    if not m.going or m.since_step_s is None:
        return
    times = [float(report["step/seconds"]) for report in m.learner]
    retry_s = max(MIN_PROGRESS_S, 20 * median(times)) if times else MIN_PROGRESS_S
    if m.since_step_s > retry_s:
        waiting = ", ".join(f"{count} {place}" for place, count in m.balance.in_flight.items() if count) or "none"
        yield Alert(
            level="critical",
            title="No optimizer step",
            detail=f"The newest was {m.since_step_s:.0f} s ago. Groups in flight: {waiting}.",
            remedy="Much in the ring: the learner hangs, see logs/learner-0.log. Nothing in the ring: actors write "
            "nothing, or every group is filtered; see Accounting.",
        )


def little_is_learned(m: Moment) -> Iterator[Alert]:
    for about, note in m.standing.items():
        yield Alert(
            level="warning",
            title=f"Little is learned from the {about}",
            detail=f"{note}.",
            remedy="`pope starvation` shows what became of its rollouts, `pope ledger` what became of each problem.",
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
            remedy="Raise verifier.deadline_s or verifier.workers; a machine that is too busy shows here first.",
        )


def answers_are_cut(m: Moment) -> Iterator[Alert]:
    newest = m.groups[-NEWEST_GROUPS:]
    rollouts = sum(int(g["rollouts"]) for g in newest)
    cut = sum(int(g["cut_off"]) for g in newest) / rollouts if rollouts else 0.0
    if cut > CUT:
        yield Alert(
            level="warning",
            title="Answers do not end",
            detail=f"The token budget cut {cut:.0%} of the newest rollouts.",
            remedy="From the start: raise actors.max_completion_tokens. Since a certain step: the policy lost the form "
            "of an answer; lower learner.learning_rate and go on from an earlier checkpoint.",
        )


def unreadable_groups(m: Moment) -> Iterator[Alert]:
    if count := m.balance.failed.get("unreadable", 0):
        yield Alert(
            level="warning",
            title="Unreadable groups",
            detail=f"{count} groups could not be read by preprocessing.",
            remedy="The stream `dead_letters` holds their bytes and the reason; mixed versions of the program do this.",
        )


def ring_gives_up_data(m: Moment) -> Iterator[Alert]:
    gone = m.balance.replaced + m.balance.stale
    if gone >= 10 and gone > 0.1 * max(1, m.balance.trained):
        yield Alert(
            level="warning",
            title="The learner is too slow for the actors",
            detail=f"{m.balance.replaced} groups were replaced in a full ring, {m.balance.stale} grew too old, "
            f"{m.balance.trained} were trained.",
            remedy="Give the learner more (learner.num_ranks, larger learner.row_tokens), or the actors less.",
        )


def weights_moved_too_far(m: Moment) -> Iterator[Alert]:
    newest = m.learner[-5:]
    if newest and (ess := median(float(report["ratio/ess"]) for report in newest)) < 0.3:
        yield Alert(
            level="warning",
            title="Few tokens carry the gradient",
            detail=f"The effective sample size of the newest steps is {ess:.2f} of 1.",
            remedy="The policy left the data behind: lower learner.learning_rate, or bound learner.max_lag.",
        )


def skipped_steps(m: Moment) -> Iterator[Alert]:
    skipped = [report["step"] for report in m.learner[-20:] if report.get("step/applied") == "0"]
    if skipped:
        yield Alert(
            level="warning",
            title="Steps were skipped",
            detail=f"The gradient was not finite in step {', '.join(skipped)}.",
            remedy="Lower learner.learning_rate, or set learner.gradient_clip.",
        )


def _unjudged(groups: Sequence[Report]) -> float:
    """Share of the rollouts whose verifier failed."""
    rollouts = sum(int(g["rollouts"]) for g in groups)
    return 1 - sum(int(g["judged"]) for g in groups) / rollouts if rollouts else 0.0


RULES: tuple[Callable[[Moment], Iterator[Alert]], ...] = (
    redis_is_away,
    books_do_not_close,
    canary_mismatch,
    silent_role,
    no_progress,
    little_is_learned,
    verifier_failures,
    answers_are_cut,
    unreadable_groups,
    ring_gives_up_data,
    weights_moved_too_far,
    skipped_steps,
)
