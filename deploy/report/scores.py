"""Scores in the layout of the paper's table 2: one row per experiment, pass@k with intervals over seeds. Pure."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from actors.evaluation.results import Result
from deploy.report.draw_transfer import UNGUIDED, measured_stages
from deploy.report.experiments import Experiment
from deploy.statistics.estimates import Estimate, score
from deploy.view.evaluation_tables import NOT_MEASURED, markdown

HARD = "hard"
BEFORE = "before"
"""The stage before training."""


@dataclass(frozen=True)
class Score:
    """Mean pass@k of one experiment at one stage under one arm."""

    experiment: str
    stage: str
    """before, sft, after, held_out, ..."""
    problem_set: str
    """`hard`: the run's hard problems; otherwise the name of the stage that measured other problems."""
    arm: str
    k: int
    estimate: Estimate
    seeds: tuple[int, ...]
    of_seeds: int
    """Number of seeds of the experiment, measured or not."""
    problems: int
    """Most problems of a seed."""
    samples: int
    """Most samples of a problem."""

    @property
    def partial(self) -> str:
        """For example: 1 of 3 seeds. Empty when all seeds were measured."""
        return f"{self.estimate.seeds} of {self.of_seeds} seeds" if self.estimate.seeds < self.of_seeds else ""

    @property
    def text(self) -> str:
        """In percent, for example: 36.2 [26.2, 46.2] (1 of 3 seeds)."""
        return f"{self.estimate.text} ({self.partial})" if self.partial else self.estimate.text


@dataclass(frozen=True)
class TableRow:
    """A row of the table: its label, and (problem set, k) -> score."""

    label: str
    scores: Mapping[tuple[str, int], Score]
    base: bool = False
    """Whether this is the model before training."""


def scores(shown: Sequence[Experiment]) -> list[Score]:
    """All scores, experiment by experiment, in the order of the measurements."""
    found = []
    for each in shown:
        hard = measured_stages(each)
        for stage in dict.fromkeys(when for run in each.runs for when in run.measured):
            for arm in dict.fromkeys(arm for run in each.runs for arm in run.measured.get(stage, {})):
                measured = [(run.seed, run.measured[stage][arm]) for run in each.runs if _has(run.measured, stage, arm)]
                for k in sorted({k for run in each.runs for k in run.config.evaluation.k}):
                    estimate = score([results for _, results in measured], k)
                    if estimate is not None:
                        found.append(
                            Score(
                                experiment=each.label,
                                stage=stage,
                                problem_set=HARD if stage in hard else stage.replace("_", " "),
                                arm=arm,
                                k=k,
                                estimate=estimate,
                                seeds=tuple(seed for seed, _ in measured),
                                of_seeds=len(each.runs),
                                problems=max(len(results) for _, results in measured),
                                samples=max(result.samples for _, results in measured for result in results),
                            )
                        )
    return found


def table_rows(shown: Sequence[Experiment], found: Sequence[Score]) -> list[TableRow]:
    """Unguided scores in the layout of table 2: base models first, then one row per later stage.

    Experiments with the same base model, problems and sampling share one base row. Scores on other problem sets are in
    the row of the last stage. Labels of experiments that were sampled differently say how.
    """
    bases: dict[str, TableRow] = {}
    rows = []
    differ = len({each.sampling for each in shown}) > 1
    for each in shown:
        label = f"{each.label}, {each.sampling}" if differ else each.label
        mine = [s for s in found if s.experiment == each.label and s.arm == UNGUIDED]
        stages = [stage for stage in measured_stages(each) if any(s.stage == stage for s in mine)]
        others = [s for s in mine if s.problem_set != HARD]
        for place, stage in enumerate(stages):
            last = stage == stages[-1]
            here = {(s.problem_set, s.k): s for s in mine if s.stage == stage}
            if last:
                here |= {(s.problem_set, s.k): s for s in others}
            if place == 0 and (not last or stage == BEFORE):
                bases.setdefault(_base_key(each), TableRow(f"base, measured by {label}", here, base=True))
            else:
                rows.append(TableRow(label if last else f"{label} ({stage})", here))
    return [*bases.values(), *rows]


def columns(rows: Sequence[TableRow]) -> list[tuple[str, int]]:
    """(problem set, k): the hard problems first, k ascending."""
    return sorted({column for row in rows for column in row.scores}, key=lambda c: (c[0] != HARD, c))


def to_markdown(rows: Sequence[TableRow]) -> str:
    """In percent with 95 % intervals, and with the number of seeds when some are not measured."""
    shown = columns(rows)
    cells = [[row.label, *(cell(row, column) for column in shown)] for row in rows]
    return markdown(["run", *(f"{name} pass@{k}" for name, k in shown)], cells)


def cell(row: TableRow, column: tuple[str, int]) -> str:
    return row.scores[column].text if column in row.scores else NOT_MEASURED


def to_records(found: Sequence[Score]) -> list[dict[str, Any]]:
    """Flat records for CSV and JSON. Means and intervals are shares, 0 to 1."""
    records = []
    for each in found:
        flat = asdict(each) | each.estimate._asdict()
        del flat["estimate"]
        records.append(flat | {name: " ".join(map(str, flat[name])) for name in ("seeds", "values")})
    return records


def to_csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """CSV with the line ends of RFC 4180. None is an empty field."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def _has(measured: Mapping[str, Mapping[str, Sequence[Result]]], stage: str, arm: str) -> bool:
    return bool(measured.get(stage, {}).get(arm))


def _base_key(each: Experiment) -> str:
    """Equal for experiments whose measurement before training is the same."""
    limit = [run.config.evaluation.max_problems for run in each.runs]
    return repr([limit, *((run.config.model.path, run.seed, sorted(run.hard), each.sampling) for run in each.runs)])
