"""Alerts over consecutive windows of steps or groups, evaluated by the driver. Pure.

starved   over `deploy.starved_steps` steps the hard bucket's share of the absolute advantage is below
          `deploy.starved_share` times its share of the groups: other problems take over the updates (ray interference,
          POPE section 3.2)
silent    of `deploy.silent_groups` groups of an arm on hard problems, fewer than 1 % were kept
unsaved   a checkpoint could not be saved
collapse  the learner's watchdog found a step unhealthy; withdrawn after `HEALTHY_STEPS` healthy ones

Problems whose rollouts are mostly correct are neither starved nor silent: they are already solved. The start of a POPE
run is not starved either, although only guided groups have a gradient: both arms belong to the hard bucket.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from actors.problems.mixture import ARM_BUCKET
from broker.reports import GroupEnd, LearnerStep, success_rate
from conf.schema import RunConfig

SOLVED = 0.5
"""Success rate from which a window counts as solved rather than starved or silent."""
SILENT_SHARE = 0.01
HEALTHY_STEPS = 20
COLLAPSE_REMEDY = (
    "lower learner.learning_rate or learner.max_lag, raise learner.batch_samples, or set "
    "learner.watchdog.action=rollback"
)
HARD_BUCKET, CHECKPOINTS, COLLAPSE = "hard bucket", "checkpoints", "collapse"


@dataclass(frozen=True)
class Notice:
    """Message of the driver when an alert is raised or no longer holds."""

    subject: str
    """`HARD_BUCKET`, "arm ARM", `CHECKPOINTS` or `COLLAPSE`."""
    raised: bool
    """False: the alert no longer holds."""
    text: str


class WindowAlert(ABC):
    """Evaluates one alert over windows of reports, and keeps its state per subject."""

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._raised: set[str] = set()

    @abstractmethod
    def notices(self, learner: Sequence[LearnerStep], groups: Sequence[GroupEnd]) -> Iterator[Notice]:
        """Changes of the alert caused by the reports since the last call."""

    def _changed(self, subject: str, raised: bool) -> bool:
        """Stores the state of the alert for a subject; returns whether it changed."""
        before = subject in self._raised
        (self._raised.add if raised else self._raised.discard)(subject)
        return raised is not before

    def _arms(self) -> list[str]:
        return [arm for arm, weight in self._config.problems.arms.items() if weight]


@dataclass
class _GroupCounts:
    """The groups preprocessed under one policy version."""

    groups: int = 0
    hard: int = 0
    """Groups of the hard bucket."""
    judged: float = 0
    """Judged rollouts of the hard groups, times the weight of the group."""
    successes: float = 0
    """Correct rollouts of the hard groups, times the weight of the group."""


class StarvedBucket(WindowAlert):
    """Other problems take over the updates."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        self._steps: list[LearnerStep] = []
        """Steps of the incomplete window."""
        self._counts: defaultdict[int, _GroupCounts] = defaultdict(_GroupCounts)
        """By policy version, without those of completed windows."""

    def notices(self, learner: Sequence[LearnerStep], groups: Sequence[GroupEnd]) -> Iterator[Notice]:
        if not self._config.deploy.starved_share:
            return
        for group in groups:
            self._add(group)
        for report in learner:
            self._steps.append(report)
            if len(self._steps) == self._config.deploy.starved_steps:
                yield from self._close()

    def _add(self, group: GroupEnd) -> None:
        counts = self._counts[group.step]
        counts.groups += 1
        if group.bucket == "hard":
            counts.hard += 1
            counts.judged += group.weight * group.judged
            counts.successes += group.weight * group.successes

    def _close(self) -> Iterator[Notice]:
        window, self._steps = self._steps, []
        first, last = window[0].step, window[-1].step
        counts = [self._counts[step] for step in range(first - 1, last) if step in self._counts]
        for step in [step for step in self._counts if step < last]:
            del self._counts[step]
        hard, judged = sum(each.hard for each in counts), sum(each.judged for each in counts)
        shares = [_hard_share(report) for report in window if report.advantage_share]
        if not hard or not shares:
            return
        share, group_share = sum(shares) / len(shares), hard / sum(each.groups for each in counts)
        success = sum(each.successes for each in counts) / judged if judged else 0.0
        starved = share < self._config.deploy.starved_share * group_share and success < SOLVED
        if self._changed(HARD_BUCKET, starved):
            text = f"steps {first} to {last}: the hard bucket " + (
                f"is starved: it had {share:.1%} of the absolute advantage, though {group_share:.0%} of the groups "
                f"were hard and {success:.1%} of their rollouts correct; {self._remedy()}"
                if starved
                else f"is no longer starved: it had {share:.1%} of the absolute advantage"
            )
            yield Notice(HARD_BUCKET, starved, text)

    def _remedy(self) -> str:
        if "guided" not in self._arms():
            return "add guidance for the hard problems (problems.arms.guided=1)"
        others = ", ".join(f"problems.arms.{arm}" for arm in self._arms() if ARM_BUCKET[arm] != "hard")
        return f"lower {others or 'the weights of the other buckets'}"


class SilentArm(WindowAlert):
    """An arm on hard problems has no group with a gradient."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        self._groups: defaultdict[str, list[GroupEnd]] = defaultdict(list)
        """Arm -> its groups in the incomplete window."""

    def notices(self, learner: Sequence[LearnerStep], groups: Sequence[GroupEnd]) -> Iterator[Notice]:
        width = self._config.deploy.silent_groups
        for group in groups if width else ():
            if group.bucket != "hard":
                continue
            arm, window = group.arm, self._groups[group.arm]
            window.append(group)
            if len(window) < width:
                continue
            kept, success = sum(each.kept for each in window), success_rate(window)
            silent = kept < SILENT_SHARE * width and success < SOLVED
            if self._changed(f"arm {arm}", silent):
                text = f"the arm {arm} " + (
                    f"is silent: {kept} of {width} groups carried a gradient, and {success:.1%} of their rollouts were "
                    f"correct; {self._remedy(arm)}"
                    if silent
                    else f"is no longer silent: {kept} of {width} groups carried a gradient"
                )
                yield Notice(f"arm {arm}", silent, text)
            window.clear()

    def _remedy(self, arm: str) -> str:
        if arm == "guided":
            return "lower guidance.samples, so that longer prefixes are chosen"
        if "guided" not in self._arms():
            return "add guidance (problems.arms.guided=1)"
        if self._config.guidance.instruction == "modified":
            return "set guidance.instruction=default, which transfers better (POPE section 5.2)"
        return "guided successes do not transfer to unguided prompts yet: see `pope ledger`"


class UnsavedCheckpoints(WindowAlert):
    """A checkpoint could not be saved."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        self._failures = 0
        self._saved_step: int | None = None

    def notices(self, learner: Sequence[LearnerStep], groups: Sequence[GroupEnd]) -> Iterator[Notice]:
        if not learner:
            return
        failures, step = learner[-1].checkpoint_failures or 0, learner[-1].checkpoint_step
        if failures > self._failures:
            self._failures = failures
            self._changed(CHECKPOINTS, True)
            yield Notice(
                CHECKPOINTS,
                True,
                f"{failures} checkpoint(s) could not be saved, the newest saved one is of step {step}; "
                "see logs/learner-0.log; training ends after repeated failures",
            )
        elif CHECKPOINTS in self._raised and step != self._saved_step:
            self._changed(CHECKPOINTS, False)
            yield Notice(CHECKPOINTS, False, f"checkpoints are saved again: step {step}")
        self._saved_step = step


class Collapse(WindowAlert):
    """The policy may be collapsing."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        self._last = 0
        """The newest unhealthy step."""

    def notices(self, learner: Sequence[LearnerStep], groups: Sequence[GroupEnd]) -> Iterator[Notice]:
        for report in learner:
            if report.watchdog is not None:
                self._last = report.step
                if self._changed(COLLAPSE, True) or report.rolled_back_to is not None:
                    yield Notice(COLLAPSE, True, f"step {report.step}: {report.watchdog}; {self._action(report)}")
            elif report.step >= self._last + HEALTHY_STEPS and self._changed(COLLAPSE, False):
                yield Notice(COLLAPSE, False, f"the steps since {self._last} are healthy")

    def _action(self, report: LearnerStep) -> str:
        """What was done, or what to do."""
        if report.rolled_back_to is not None:
            return f"rolled back to the weights of step {report.rolled_back_to}, at a lower learning rate"
        if not report.applied:
            return "its gradient was skipped"
        return COLLAPSE_REMEDY


def _hard_share(report: LearnerStep) -> float:
    return sum(share for part, share in report.advantage_share.items() if part.startswith("hard/"))
