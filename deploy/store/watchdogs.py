"""Three questions about the outcome of a run, which its other numbers do not answer: a run can be fast and complete,
and learn nothing. Pure."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Literal

import msgspec

from broker.reports import LearnerStep
from conf.schema import RunConfig
from deploy.statistics.transfer import GUIDED
from deploy.store.alert_windows import COLLAPSE, COLLAPSE_REMEDY
from learner.engine_bound import engine_bound

WINDOW_STEPS = 5
"""Steps whose median is compared with the bound; a single step may have an outlier."""
NEWEST_STEPS = 20
APART_NATS = 1.0
"""Root mean square of log pi - log pi_behaviour that no lag of a healthy run reaches: learner and engine then hold
different models."""
MIN_TESTED = 10
"""With fewer problems, transfer is not judged."""
MIN_TRANSFER = 0.05
"""Smallest share of them that must have been solved without guidance."""


class Watchdog(msgspec.Struct, frozen=True, kw_only=True):
    """One question and its answer so far."""

    title: str
    """The answer in a few words."""
    state: Literal["good", "bad", "unknown"]
    detail: str
    remedy: str = ""


def watchdogs(
    config: RunConfig, learner: Sequence[LearnerStep], driver_alerts: Mapping[str, str], tested: int, carried: int
) -> list[Watchdog]:
    """The answers, in the order in which they matter.

    `learner`: the newest reports. `driver_alerts`: subject -> note of the alerts of the driver that hold. `tested`:
    problems that were first solved with guidance and since tried often enough without; `carried`: those of them that
    were solved.
    """
    found = [agreement(config, learner), collapse(learner, driver_alerts)]
    return [*found, transfer(tested, carried)] if config.problems.arms.get(GUIDED) else found


def agreement(config: RunConfig, learner: Sequence[LearnerStep]) -> Watchdog:
    """Whether the learner assigns to sampled tokens the probabilities that the engine sampled them with."""
    bound = engine_bound(config)
    compared = [step.logprob_rms_lag0 for step in learner[-NEWEST_STEPS:] if step.logprob_rms_lag0 is not None]
    if compared and (newest := median(compared[-WINDOW_STEPS:])) <= bound:
        return Watchdog(
            title="Learner and engine agree",
            state="good",
            detail=f"{newest:.2g} nats apart on tokens of lag 0; the bound is {bound:g}.",
        )
    steps = learner[-WINDOW_STEPS:]
    rms = median(step.logprob_rms for step in steps) if steps else 0.0
    if not compared and rms < APART_NATS:
        return Watchdog(
            title="Learner and engine", state="unknown", detail="No token of lag 0 was trained in the newest steps."
        )
    if compared:
        apart = f"{newest:.2g} nats apart on tokens of lag 0; the bound is {bound:g}"
    else:
        apart = f"{rms:.2g} nats apart on tokens of any lag"
    return Watchdog(
        title="Learner and engine disagree",
        state="bad",
        detail=f"{apart}. The effective sample size is {median(step.ess for step in steps):.2f} of 1.",
        remedy="The rollouts come from another model than the one that is trained: compare model.path of both, and set "
        "weights.canary_every=1.",
    )


def collapse(learner: Sequence[LearnerStep], driver_alerts: Mapping[str, str]) -> Watchdog:
    """Whether the policy is healthy."""
    if note := driver_alerts.get(COLLAPSE):
        return Watchdog(title="Collapse", state="bad", detail=f"{note}.", remedy=f"To do: {COLLAPSE_REMEDY}.")
    if not learner:
        return Watchdog(title="Collapse", state="unknown", detail="No step was trained yet.")
    unhealthy = sum(step.watchdog is not None for step in learner)
    return Watchdog(
        title="No collapse", state="good", detail=f"{unhealthy} of the newest {len(learner)} steps were unhealthy."
    )


def transfer(tested: int, carried: int) -> Watchdog:
    """Whether what is learned with guidance is of use without it."""
    counts = f"{carried} of {tested} problems first solved with guidance, and tried since, were solved without it"
    if tested < MIN_TESTED:
        return Watchdog(title="Transfer", state="unknown", detail=f"{counts}; too few to judge.")
    if carried >= MIN_TRANSFER * tested:
        return Watchdog(title="Guidance transfers", state="good", detail=f"{counts}.")
    return Watchdog(
        title="No transfer",
        state="bad",
        detail=f"{counts}.",
        remedy="guidance.instruction=default transfers better than modified (POPE section 5.2); `pope ledger` shows "
        "each problem.",
    )
