"""Figures of transfer: problems by first solve, first solves by arm, pass@k with and without guidance."""

from collections import Counter
from collections.abc import Sequence

from actors.evaluation.results import Result
from deploy.report.curves import Point, end, over_all_seeds, step_width
from deploy.report.experiments import Experiment, about
from deploy.report.figure_builder import bars, curves
from deploy.report.figure_spec import Absent, Bar, BarPanel, Figure, Panel, arm_line
from deploy.report.run_records import RunRecords
from deploy.statistics.estimates import METHODS, score
from deploy.statistics.transfer import RECENT_GROUPS, Transfer, transfer
from deploy.view.palette import BLUE, GREEN, PALE, PURPLE, SKY, VERMILLION

GUIDED, UNGUIDED = "guided", "unguided"
STYLES = {"before": ":", "sft": "--", "after": "-"}
"""Stage -> line style, the same in every panel."""
OTHER_STYLE = "-."
CLASSES = {
    "carried over": BLUE,
    "carried over, not recently": SKY,
    "not carried over": VERMILLION,
    "same step": PURPLE,
    "unguided first": GREEN,
    "unsolved": PALE,
}


def transfers(shown: Sequence[Experiment]) -> list[Figure | Absent]:
    """The figures in the order of the page."""
    return [_classes(shown), _first_solves(shown), _pass_at_k(shown)]


def transfer_of(run: RunRecords) -> Transfer | None:
    """The transfer of a run; None when it has no guidance."""
    return transfer(run.ledger)


def class_counts(classes: Transfer) -> Counter[str]:
    """Problems by the classes of the figure; every problem is in exactly one."""
    since, recently = len(classes.then_unguided), len(classes.unguided_recently)
    return Counter(
        {
            "carried over": recently,
            "carried over, not recently": since - recently,
            "not carried over": len(classes.guided_first) - since,
            "same step": len(classes.same_step),
            "unguided first": len(classes.unguided_first),
            "unsolved": len(classes.unsolved),
        }
    )


def _classes(shown: Sequence[Experiment]) -> Figure | Absent:
    stacks = []
    for each in shown:
        counts = [class_counts(found) for run in each.runs if (found := transfer_of(run)) is not None]
        if counts:
            stacks.append(Bar(each.label, dict(sum(counts, Counter()))))
    return bars(
        "transfer",
        "Transfer from guided to unguided",
        "Problems by the arm that solved them first in training. A problem first solved with guidance is carried "
        f"over when it was later solved without; recently: in one of the newest {RECENT_GROUPS} unguided groups. Same "
        "step: both arms solved it at one policy version. All seeds together.",
        about([each for each in shown if each.label in {bar.label for bar in stacks}] or shown),
        [BarPanel("", stacks, "problems")],
        CLASSES,
        reason="no run trained with guidance, or no run has a ledger",
    )


def _first_solves(shown: Sequence[Experiment]) -> Figure | Absent:
    width = step_width(shown)
    panels = [
        Panel(
            each.label,
            "optimizer step",
            "share of hard problems",
            [
                arm_line(arm, over_all_seeds([solved(run, arm, width) for run in each.runs], end(width), high=1.0))
                for arm in (UNGUIDED, GUIDED)
                if arm in each.arms
            ],
            share=True,
        )
        for each in shown
    ]
    return curves(
        "first_solves",
        "Hard problems solved at least once in training",
        "Share of the hard problems that an arm had solved at least once by a step. Where the guided line is "
        "higher, guidance solves problems earlier. Bands are 95 % t intervals over seeds, thin lines the seeds.",
        about(shown),
        panels,
        reason="no run has a ledger",
    )


def solved(run: RunRecords, arm: str, width: int) -> dict[int, float]:
    """Window -> share of the hard problems first solved under the arm by its end."""
    first = [row.first_solve_step for row in run.ledger if row.arm == arm and row.problem_id in run.hard]
    if not first or not run.hard:
        return {}
    return {
        window: sum(step is not None and step <= (window + 1) * width for step in first) / len(run.hard)
        for window in range(run.steps // width)
    }


def _pass_at_k(shown: Sequence[Experiment]) -> Figure | Absent:
    panels = []
    for each in shown:
        lines = [
            arm_line(arm, points, when, style=STYLES.get(when, OTHER_STYLE), marker=".")
            for when in measured_stages(each)
            for arm in (UNGUIDED, GUIDED)
            for points in [_by_k([run.measured[when].get(arm, ()) for run in each.runs if when in run.measured])]
        ]
        panels.append(Panel(each.label, "k", "pass@k", lines, share=True))
    return curves(
        "guidance",
        "Guided and unguided, measured",
        "Unbiased pass@k of the hard problems for every k up to the rollouts per problem, with and without guidance in "
        f"the prompt, over the seeds that measured them. Bands are 95 % intervals, {METHODS}. As in figure 9.",
        about(shown),
        panels,
        reason="no run has measured its hard problems yet",
    )


def measured_stages(each: Experiment) -> list[str]:
    """The stages that measured the run's hard problems, in order."""
    return [
        when
        for when in dict.fromkeys(when for run in each.runs for when in run.measured)
        if all(measures_hard(run, when) for run in each.runs if when in run.measured)
    ]


def measures_hard(run: RunRecords, when: str) -> bool:
    """False for a stage that measured other problems, such as held-out ones."""
    return all(result.problem_id in run.hard for results in run.measured[when].values() for result in results)


def _by_k(seeds: Sequence[Sequence[Result]]) -> list[Point]:
    most = min((result.samples for results in seeds for result in results), default=0)
    estimates = [(k, score(seeds, k)) for k in range(1, most + 1)]
    return [Point(k, estimate) for k, estimate in estimates if estimate is not None]
