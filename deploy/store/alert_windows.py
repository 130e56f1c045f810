"""Alerts that depend on windows of steps or groups that follow one another; the driver follows them. Pure.

starved   over `deploy.starved_steps` steps the hard bucket's share of the absolute advantage is below
          `deploy.starved_share` times its share of the groups: other problems take over the updates (ray interference,
          POPE section 3.2)
silent    of `deploy.silent_groups` groups of an arm on hard problems, fewer than 1 % were kept
unsaved   a checkpoint could not be saved

Problems whose rollouts are mostly correct are neither starved nor silent: they have nothing left to teach. Nor is the
start of a POPE run starved, when all unguided groups are wrong and the guided ones carry the updates: both belong to
the hard bucket.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from actors.problems.mixture import ARM_BUCKET
from broker.reports import GroupEnd, LearnerStep
from conf.schema import RunConfig

SOLVED = 0.5
"""Success from which a window counts as solved rather than starved or silent."""
SILENT_SHARE = 0.01
HARD_BUCKET, CHECKPOINTS = "hard bucket", "checkpoints"


@dataclass(frozen=True)
class Notice:
    """What the driver says when a window differs from the one before."""

    about: str
    """`HARD_BUCKET`, "arm ARM" or `CHECKPOINTS`."""
    raised: bool
    """False: what was said before no longer holds."""
    text: str


class Window:
    """Follows reports in windows, and remembers what it has raised."""

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._raised: set[str] = set()

    def notices(self, learner: Sequence[LearnerStep], groups: Sequence[GroupEnd]) -> Iterator[Notice]:
        """What to say about the reports since the last call."""
        raise NotImplementedError

    def _changed(self, about: str, raised: bool) -> bool:
        """Whether this differs from before; remembers it."""
        before = about in self._raised
        (self._raised.add if raised else self._raised.discard)(about)
        return raised is not before

    def _arms(self) -> list[str]:
        return [arm for arm, weight in self._config.problems.arms.items() if weight]


@dataclass
class _Met:
    """The groups preprocessed under one policy version."""

    groups: int = 0
    hard: int = 0
    judged: int = 0
    """Rollouts of the hard ones, as `successes`."""
    successes: int = 0


class StarvedBucket(Window):
    """Other problems take over the updates."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        self._steps: list[LearnerStep] = []
        """Of the window that is filling."""
        self._met: defaultdict[int, _Met] = defaultdict(_Met)
        """By policy version; those of closed windows are removed."""

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
        met = self._met[group.step]
        met.groups += 1
        if group.bucket == "hard":
            met.hard += 1
            met.judged += group.judged
            met.successes += group.successes

    def _close(self) -> Iterator[Notice]:
        window, self._steps = self._steps, []
        first, last = window[0].step, window[-1].step
        met = [self._met[step] for step in range(first - 1, last) if step in self._met]
        for step in [step for step in self._met if step < last]:
            del self._met[step]
        hard, judged = sum(each.hard for each in met), sum(each.judged for each in met)
        shares = [_hard_share(report) for report in window if report.advantage_share]
        if not hard or not shares:
            return
        share, drawn = sum(shares) / len(shares), hard / sum(each.groups for each in met)
        success = sum(each.successes for each in met) / judged if judged else 0.0
        starved = share < self._config.deploy.starved_share * drawn and success < SOLVED
        if self._changed(HARD_BUCKET, starved):
            text = f"steps {first} to {last}: the hard bucket " + (
                f"is starved: it had {share:.1%} of the absolute advantage, though {drawn:.0%} of the groups were "
                f"hard and {success:.1%} of their rollouts right; {self._remedy()}"
                if starved
                else f"is no longer starved: it had {share:.1%} of the absolute advantage"
            )
            yield Notice(HARD_BUCKET, starved, text)

    def _remedy(self) -> str:
        if "guided" not in self._arms():
            return "give the hard problems guidance (problems.arms.guided=1)"
        others = ", ".join(f"problems.arms.{arm}" for arm in self._arms() if ARM_BUCKET[arm] != "hard")
        return f"lower {others or 'the weight of what is not hard'}"


class SilentArm(Window):
    """An arm on hard problems has no group with a gradient."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        self._groups: defaultdict[str, list[GroupEnd]] = defaultdict(list)
        """Arm -> its groups in the window that is filling."""

    def notices(self, learner: Sequence[LearnerStep], groups: Sequence[GroupEnd]) -> Iterator[Notice]:
        width = self._config.deploy.silent_groups
        for group in groups if width else ():
            if group.bucket != "hard":
                continue
            arm, window = group.arm, self._groups[group.arm]
            window.append(group)
            if len(window) < width:
                continue
            kept, success = sum(each.kept for each in window), _success(window)
            silent = kept < SILENT_SHARE * width and success < SOLVED
            if self._changed(f"arm {arm}", silent):
                text = f"the arm {arm} " + (
                    f"is silent: {kept} of {width} groups carried a gradient, and {success:.1%} of their rollouts were "
                    f"right; {self._remedy(arm)}"
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
            return "guidance.instruction=default carries over better (POPE section 5.2)"
        return "what is learned with guidance does not carry over yet: `pope ledger` shows where"


class UnsavedCheckpoints(Window):
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
                f"{failures} checkpoint(s) could not be saved, the newest that was is of step {step}; "
                "logs/learner-0.log says why, and training ends when it fails again and again",
            )
        elif CHECKPOINTS in self._raised and step != self._saved_step:
            self._changed(CHECKPOINTS, False)
            yield Notice(CHECKPOINTS, False, f"checkpoints are saved again: step {step}")
        self._saved_step = step


def _hard_share(report: LearnerStep) -> float:
    return sum(share for part, share in report.advantage_share.items() if part.startswith("hard/"))


def _success(groups: Sequence[GroupEnd]) -> float:
    judged = sum(group.judged for group in groups)
    return sum(group.successes for group in groups) / judged if judged else 0.0
