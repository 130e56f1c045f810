"""The content of the page, in its order: results, learning, transfer, interference, pipeline, problems."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from deploy.report.draw_cost import Cost, cost, costs
from deploy.report.draw_interference import interference
from deploy.report.draw_learning import learning
from deploy.report.draw_outcome import outcome
from deploy.report.draw_pipeline import pipeline
from deploy.report.draw_starvation import starvation
from deploy.report.draw_transfer import transfers
from deploy.report.experiments import Experiment, seed_names
from deploy.report.figure_spec import Absent, Figure
from deploy.report.findings import Card, card, sentences
from deploy.report.problem_rows import ProblemRow, examples, problem_rows
from deploy.report.run_records import RunRecords
from deploy.report.scores import Score, TableRow, scores, table_rows
from deploy.report.shown_rollouts import ShownGroup, shown_groups

MOST_ROWS = 640
"""Most problems that the page lists, all runs together; they take about 1 MB."""
FEWEST_ROWS = 10
"""At least this many per run, however many runs there are."""


@dataclass(frozen=True)
class Section:
    """Figures that belong together."""

    name: str
    title: str
    figures: Sequence[Figure | Absent]


@dataclass(frozen=True)
class ProblemList:
    """The problems of one run."""

    label: str
    run: RunRecords
    arms: Sequence[str]
    rows: Sequence[ProblemRow]
    """At most the run's share of `MOST_ROWS`."""
    num_problems: int
    examples: Sequence[tuple[ProblemRow, Sequence[ShownGroup]]]
    """Problems with their rollouts, of the first seed of an experiment only."""
    no_examples: str
    """Why there are no rollouts to show; empty when there are some."""

    @property
    def stalled(self) -> str:
        """Share of the generation time that weight syncs took; empty when it is not known."""
        share = self.run.summary.get("sync", {}).get("stall_share")
        return "" if share is None else f"{share:.1%}"


@dataclass(frozen=True)
class Contents:
    """What `page.py` renders."""

    shown: Sequence[Experiment]
    sentences: Sequence[str]
    cards: Sequence[Card]
    scores: Sequence[Score]
    table: Sequence[TableRow]
    costs: Sequence[Cost]
    sections: Sequence[Section]
    problems: Sequence[ProblemList]
    notes: Sequence[str]
    """What is missing, and other remarks on the runs."""


def contents(shown: Sequence[Experiment], num_rollouts: int) -> Contents:
    """The page about the experiments. `num_rollouts`: problems of each experiment that are shown with rollouts."""
    all_scores = scores(shown)
    table = table_rows(shown, all_scores)
    all_costs = costs(shown)
    return Contents(
        shown=shown,
        sentences=sentences([row for row in table if not row.base]),
        cards=[card(each, all_scores, each_cost) for each, each_cost in zip(shown, all_costs, strict=True)],
        scores=all_scores,
        table=table,
        costs=all_costs,
        sections=[
            Section("results", "Results", [outcome(shown, all_scores)]),
            Section("learning", "Learning", [*learning(shown), cost(shown)]),
            Section("transfer", "Transfer from guidance", transfers(shown)),
            Section("interference", "Interference and starvation", [*interference(shown), *starvation(shown)]),
            Section("pipeline", "Pipeline health", pipeline(shown)),
        ],
        problems=[_problems(each, run, shown, num_rollouts) for each in shown for run in each.runs],
        notes=list(_notes(shown)),
    )


def _notes(shown: Sequence[Experiment]) -> Iterator[str]:
    if len({each.sampling for each in shown}) > 1:
        how = "; ".join(f"{each.label}: {each.sampling}" for each in shown)
        yield f"The evaluations of these experiments were sampled differently and do not compare. {how}."
    for each in shown:
        for run in each.runs:
            if not run.over:
                yield f"{run.path.name} was still running when it was read, or was killed."
            yield from (f"{run.path.name}: {missing}" for missing in run.missing)
            yield from (f"{run.path.name}, note: {note}" for note in run.summary.get("notes", ()))
        for stage in dict.fromkeys(when for run in each.runs for when in run.measured):
            measured = [run.seed for run in each.runs if stage in run.measured]
            if len(measured) < len(each.runs):
                of = seed_names(each.seeds)
                yield f"{each.label}: {stage} was measured for {seed_names(measured)} only, of {of}."
        if each.differing:
            yield f"The runs of {each.label} count as seeds of one experiment, but differ: {'; '.join(each.differing)}."


def _problems(each: Experiment, run: RunRecords, shown: Sequence[Experiment], num_rollouts: int) -> ProblemList:
    rows = problem_rows(run)
    most = max(FEWEST_ROWS, MOST_ROWS // sum(len(other.runs) for other in shown))
    chosen = examples(rows, num_rollouts) if run is each.runs[0] else []
    groups, no_examples = shown_groups(run, [row.id for row in chosen]) if chosen else ({}, "")
    return ProblemList(
        label=each.label,
        run=run,
        arms=each.arms,
        rows=rows[:most],
        num_problems=len(rows),
        examples=[(row, groups[row.id]) for row in chosen if groups.get(row.id)],
        no_examples=no_examples,
    )
