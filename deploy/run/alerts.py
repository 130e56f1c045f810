"""Alerts about what a run learns from. They say what to do, and never end the run. Pure.

starved   over `deploy.starved_steps` steps the hard bucket's share of the absolute advantage is below
          `deploy.starved_share` times its share of the groups: other problems take over the updates (ray interference,
          POPE section 3.2)
silent    of `deploy.silent_groups` groups of an arm on hard problems fewer than 1 % carried a gradient
unsaved   a checkpoint could not be saved

Neither of the first two is said of problems whose rollouts are mostly right: those have nothing left to teach. POPE's
own start, when unguided groups are all wrong and the guided ones carry the updates, is no starvation: both are the hard
bucket.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from actors.problems.mixture import ARM_BUCKET
from conf.schema import RunConfig

Report = Mapping[str, str]

SOLVED = 0.5
"""Success from which a window counts as solved rather than starved."""
SILENT_SHARE = 0.01
_HARD_ADVANTAGE = "share/advantage/hard/"


@dataclass(frozen=True)
class Notice:
    """One thing there is to say."""

    about: str
    """`hard bucket`, `arm ARM` or `checkpoints`."""
    raised: bool
    """False: what was said before no longer holds."""
    text: str


@dataclass
class _Met:
    """The groups preprocessed under one policy version."""

    groups: int = 0
    hard: int = 0
    judged: int = 0
    """Rollouts of the hard ones, as `successes`."""
    successes: int = 0


class Alerts:
    """Looks at windows of steps and of groups that follow one another; speaks when a window differs from the last."""

    def __init__(self, config: RunConfig) -> None:
        self._deploy, self._guidance = config.deploy, config.guidance
        self._arms = [arm for arm, weight in config.problems.arms.items() if weight]
        self._steps: list[Report] = []
        """The learner's, of the window that is filling."""
        self._met: defaultdict[int, _Met] = defaultdict(_Met)
        """By step, none that a window has closed over."""
        self._groups: dict[str, list[Report]] = defaultdict(list)
        """Arm -> its groups in the window that is filling."""
        self._raised: set[str] = set()
        self._failed_saves = 0
        self._saved_step: str | None = None

    def news(self, learner: Sequence[Report], groups: Sequence[Report]) -> list[Notice]:
        """What there is to say about the reports that came since the last call."""
        return [*self._starved(learner, groups), *self._silent(groups), *self._unsaved(learner)]

    def _starved(self, learner: Sequence[Report], groups: Sequence[Report]) -> Iterator[Notice]:
        if not self._deploy.starved_share:
            return
        for group in groups:
            self._meet(group)
        for report in learner:
            self._steps.append(report)
            if len(self._steps) == self._deploy.starved_steps:
                yield from self._close_window()

    def _meet(self, group: Report) -> None:
        met = self._met[int(group["step"])]
        met.groups += 1
        if group["bucket"] == "hard":
            met.hard += 1
            met.judged += int(group["judged"])
            met.successes += int(group["successes"])

    def _close_window(self) -> Iterator[Notice]:
        window, self._steps = self._steps, []
        first, last = int(window[0]["step"]), int(window[-1]["step"])
        met = [self._met[step] for step in range(first - 1, last) if step in self._met]
        for step in [step for step in self._met if step < last]:
            del self._met[step]
        hard, judged = sum(each.hard for each in met), sum(each.judged for each in met)
        shares = [_hard_share(report) for report in window if any(k.startswith("share/advantage/") for k in report)]
        if not hard or not shares:
            return
        share, drawn = sum(shares) / len(shares), hard / sum(each.groups for each in met)
        success = sum(each.successes for each in met) / judged if judged else 0.0
        starved = share < self._deploy.starved_share * drawn and success < SOLVED
        if self._turned("hard bucket", starved):
            said = f"steps {first} to {last}: the hard bucket " + (
                f"is starved: it had {share:.1%} of the absolute advantage, though {drawn:.0%} of the groups were "
                f"hard and {success:.1%} of their rollouts right; {self._against_interference()}"
                if starved
                else f"is no longer starved: it had {share:.1%} of the absolute advantage"
            )
            yield Notice("hard bucket", starved, said)

    def _silent(self, groups: Sequence[Report]) -> Iterator[Notice]:
        width = self._deploy.silent_groups
        for group in groups if width else ():
            if group["bucket"] != "hard":
                continue
            arm, window = group["arm"], self._groups[group["arm"]]
            window.append(group)
            if len(window) < width:
                continue
            kept, success = sum(report["outcome"] == "kept" for report in window), _success(window)
            silent = kept < SILENT_SHARE * width and success < SOLVED
            if self._turned(f"arm {arm}", silent):
                said = f"the arm {arm} " + (
                    f"is silent: {kept} of {width} groups carried a gradient, and {success:.1%} of their rollouts were "
                    f"right; {self._against_silence(arm)}"
                    if silent
                    else f"is no longer silent: {kept} of {width} groups carried a gradient"
                )
                yield Notice(f"arm {arm}", silent, said)
            window.clear()

    def _unsaved(self, learner: Sequence[Report]) -> Iterator[Notice]:
        if not learner:
            return
        newest = learner[-1]
        failures, step = int(newest.get("checkpoint/failures", 0)), newest.get("checkpoint/step")
        if failures > self._failed_saves:
            self._failed_saves = failures
            self._turned("checkpoints", True)
            yield Notice(
                "checkpoints",
                True,
                f"{failures} checkpoint(s) could not be saved, the newest that was is of step {step}; "
                "logs/learner-0.log says why, and training ends when it fails again and again",
            )
        elif "checkpoints" in self._raised and step != self._saved_step:
            self._turned("checkpoints", False)
            yield Notice("checkpoints", False, f"checkpoints are saved again: step {step}")
        self._saved_step = step

    def _turned(self, name: str, on: bool) -> bool:
        """Whether this is news; remembers it."""
        was = name in self._raised
        (self._raised.add if on else self._raised.discard)(name)
        return on is not was

    def _against_interference(self) -> str:
        if "guided" not in self._arms:
            return "give the hard problems guidance (problems.arms.guided=1)"
        others = ", ".join(f"problems.arms.{arm}" for arm in self._arms if ARM_BUCKET[arm] != "hard")
        return f"lower {others or 'the weight of what is not hard'}"

    def _against_silence(self, arm: str) -> str:
        if arm == "guided":
            return "lower guidance.samples, so that longer prefixes are chosen"
        if "guided" not in self._arms:
            return "add guidance (problems.arms.guided=1)"
        if self._guidance.instruction == "modified":
            return "guidance.instruction=default carries over better (POPE section 5.2)"
        return "what is learned with guidance does not carry over yet: `pope ledger` shows where"


def _hard_share(report: Report) -> float:
    return sum(float(value) for key, value in report.items() if key.startswith(_HARD_ADVANTAGE))


def _success(groups: Sequence[Report]) -> float:
    judged = sum(int(group["judged"]) for group in groups)
    return sum(int(group["successes"]) for group in groups) / judged if judged else 0.0
