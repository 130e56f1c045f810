"""Cost of learning: success on the hard problems against the rollouts spent on them (figure 5d)."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from deploy.report.curves import end, over_all_seeds, success_by_rollouts
from deploy.report.experiments import Experiment, about
from deploy.report.figure_builder import curves
from deploy.report.figure_spec import Absent, Figure, Panel, nth_line
from deploy.statistics.windows import first_reached, window_means, window_width

THRESHOLD = 0.9


@dataclass(frozen=True)
class Cost:
    """Rollouts that one experiment needed to solve its hard problems."""

    label: str
    seeds: tuple[int, ...]
    rollouts: tuple[int | None, ...]
    """By seed: spent on hard problems at the end of the first window with a mean >= `THRESHOLD`; None: never."""
    spent: tuple[int, ...]
    """By seed: all rollouts of hard problems."""

    @property
    def median(self) -> float:
        """Over the seeds; a seed that never reached the threshold counts as infinite."""
        return median(float("inf") if rollouts is None else rollouts for rollouts in self.rollouts)

    @property
    def median_text(self) -> str:
        return "never" if self.median == float("inf") else f"{self.median:,.0f}"

    @property
    def by_seed(self) -> list[tuple[int, str, int]]:
        """(seed, rollouts until the threshold, rollouts spent)."""
        words = ["never" if rollouts is None else f"{rollouts:,}" for rollouts in self.rollouts]
        return list(zip(self.seeds, words, self.spent, strict=True))


def cost_width(shown: Sequence[Experiment]) -> int:
    """Rollouts of one window."""
    return window_width(_spent(each)[i] for each in shown for i in range(len(each.runs)))


def costs(shown: Sequence[Experiment]) -> list[Cost]:
    """The cost of each experiment."""
    width = cost_width(shown)
    found = []
    for each in shown:
        first = [first_reached(window_means(success_by_rollouts(run.groups), width), THRESHOLD) for run in each.runs]
        found.append(
            Cost(
                label=each.label,
                seeds=tuple(each.seeds),
                rollouts=tuple(None if window is None else (window + 1) * width for window in first),
                spent=_spent(each),
            )
        )
    return found


def cost(shown: Sequence[Experiment]) -> Figure | Absent:
    """The figure."""
    width = cost_width(shown)
    lines = [
        nth_line(
            i,
            each.label,
            over_all_seeds(
                [window_means(success_by_rollouts(run.groups), width) for run in each.runs], end(width), high=1.0
            ),
        )
        for i, each in enumerate(shown)
    ]
    return curves(
        "cost",
        "Success against rollouts spent",
        f"Share of correct unguided rollouts of hard problems in windows of {width:,} rollouts spent on them, guided "
        f"ones included; the dashed line is {THRESHOLD}. Bands are 95 % t intervals over seeds, thin lines the "
        "seeds. As in figure 5d.",
        about(shown),
        [Panel("", "rollouts spent on hard problems", "unguided success", lines, share=True, threshold=THRESHOLD)],
        reason="no unguided rollout of a hard problem was judged yet",
    )


def _spent(each: Experiment) -> tuple[int, ...]:
    return tuple(sum(group.rollouts for group in run.groups if group.bucket == "hard") for run in each.runs)
