"""What a run achieved, apart from its promises: a run can keep every one of them and learn nothing. Pure."""

from collections.abc import Sequence
from statistics import median

from broker.balance import Balance
from broker.reports import GroupEnd, LearnerStep
from conf.schema import RunConfig
from deploy.audit.finding import Finding
from deploy.store.alert_windows import COLLAPSE, HARD_BUCKET
from deploy.store.alerts import DriverAlerts
from learner.engine_bound import engine_bound

WINDOW_STEPS = 5
"""Steps whose median disagreement is compared with the bound; a single step may have an outlier."""
FEW_STEPS = 20
"""With fewer optimizer steps no arm is judged."""


def outcomes(
    config: RunConfig, balance: Balance, learner: Sequence[LearnerStep], groups: Sequence[GroupEnd]
) -> list[Finding]:
    """A finding for each outcome. `learner`, `groups`: all reports of the run."""
    windows, holding = DriverAlerts(config), dict[str, str]()
    for notice in windows.notices(learner, groups):
        holding.pop(notice.subject, None)
        if notice.raised:
            holding[notice.subject] = notice.text
    return [
        agreement(config, learner),
        collapse(learner, holding),
        arms(config, balance, learner, groups, holding),
    ]


def collapse(learner: Sequence[LearnerStep], holding: dict[str, str]) -> Finding:
    """The policy is healthy at the end. `holding`: subject of an alert that holds at the end -> its text."""
    unhealthy = sum(step.watchdog is not None for step in learner)
    return Finding("no collapse", f"{unhealthy} of {len(learner)} steps were unhealthy", holding.get(COLLAPSE))


def agreement(config: RunConfig, learner: Sequence[LearnerStep]) -> Finding:
    """Engine and learner agree about the rollouts of lag 0."""
    bound = engine_bound(config)
    compared = [(step.step, step.logprob_rms_lag0) for step in learner if step.logprob_rms_lag0 is not None]
    violation = None
    for first in range(max(0, len(compared) - WINDOW_STEPS + 1)):
        window = compared[first : first + WINDOW_STEPS]
        if violation is None and (found := median(rms for _, rms in window)) > bound:
            violation = f"from step {window[0][0]} on they differ by {found:.3g} nats, the bound is {bound:g}"
    largest = f", at most {max(rms for _, rms in compared):.2g} nats" if compared else ""
    return Finding("agreement", f"compared at lag 0 in {len(compared)} of {len(learner)} steps{largest}", violation)


def arms(
    config: RunConfig,
    balance: Balance,
    learner: Sequence[LearnerStep],
    groups: Sequence[GroupEnd],
    holding: dict[str, str],
) -> Finding:
    """Every arm reaches the learner. `holding`: as in `collapse`."""
    wanted = [arm for arm, weight in config.problems.arms.items() if weight]
    ended = {arm: sum(group.arm == arm for group in groups) for arm in wanted}
    starved = [text for subject, text in holding.items() if subject == HARD_BUCKET or subject.startswith("arm ")]
    if len(learner) >= FEW_STEPS:
        absent = [arm for arm in wanted if not ended[arm]]
        starved += [f"no group of arm {arm} reached preprocessing; {balance.trained} were trained" for arm in absent]
    shares = ", ".join(f"{count} of {arm}" for arm, count in ended.items())
    return Finding("no starved arm", f"groups: {shares}", starved[0] if starved else None)
