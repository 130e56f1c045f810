"""One row per problem of a run: its history under each arm, how it was first solved, its measurements. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from deploy.report.draw_transfer import UNGUIDED, transfer_of
from deploy.report.run_records import RunRecords

NEVER = "unsolved"


@dataclass(frozen=True)
class ArmHistory:
    """One problem under one arm."""

    attempts: int
    successes: int
    first_solve: int | None
    """Optimizer step."""
    points: tuple[tuple[int, float], ...]
    """(step, share of the judged rollouts that are correct) of every group, ascending."""

    @property
    def rate(self) -> float:
        return self.successes / self.attempts if self.attempts else 0.0


@dataclass(frozen=True)
class ProblemRow:
    """One problem of one run."""

    id: str
    bucket: str
    statement: str
    by_arm: Mapping[str, ArmHistory]
    first_solved: str
    """How it was first solved, a value of `FIRST_SOLVED`; empty when it is not known."""
    measured: Mapping[str, tuple[int, int]]
    """Stage of unguided measurement -> (correct, judged)."""


FIRST_SOLVED = {
    "then_unguided": "guided, then unguided",
    "guided_first": "guided only",
    "unsolved": NEVER,
    "unguided_first": "unguided first",
    "same_step": "both at one step",
}
"""Class of `deploy/statistics/transfer.py` -> words. A problem has the first class that it is in."""


def problem_rows(run: RunRecords) -> list[ProblemRow]:
    """Hard problems first, and the least solved without guidance first."""
    first_solved = _first_solved(run)
    histories = _histories(run)
    problems = {problem.id: problem for problem in run.problems}
    measured = _measured(run)
    buckets = {group.problem_id: group.bucket for group in run.groups}
    rows = []
    for id in sorted(problems.keys() | histories.keys()):
        problem = problems.get(id)
        rows.append(
            ProblemRow(
                id=id,
                bucket=problem.bucket if problem else buckets.get(id, ""),
                statement=problem.statement if problem else "",
                by_arm=histories.get(id, {}),
                first_solved=first_solved.get(id, ""),
                measured=measured.get(id, {}),
            )
        )
    return sorted(rows, key=lambda row: (row.bucket != "hard", _unguided_rate(row), row.id))


def examples(rows: Sequence[ProblemRow], count: int) -> list[ProblemRow]:
    """At most `count` hard problems to show with rollouts: one of each kind of `FIRST_SOLVED` in turn."""
    kinds = [
        [row for row in rows if row.bucket == "hard" and row.first_solved == words] for words in FIRST_SOLVED.values()
    ]
    others = [row for row in rows if row.bucket == "hard" and not row.first_solved]
    in_turn = [row for row in chain.from_iterable(zip_longest(*kinds, others)) if row is not None]
    return in_turn[:count]


def _first_solved(run: RunRecords) -> dict[str, str]:
    classes = transfer_of(run)
    if classes is None:
        solved = {row.problem_id for row in run.ledger if row.first_solve_step is not None}
        return {row.problem_id: "" if row.problem_id in solved else NEVER for row in run.ledger}
    return {id: FIRST_SOLVED[name] for name in reversed(FIRST_SOLVED) for id in getattr(classes, name)}


def _histories(run: RunRecords) -> dict[str, dict[str, ArmHistory]]:
    """Problem -> arm -> history. Without reports of groups, the points are the outcomes that the ledger kept."""
    points: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
    for group in run.groups:
        if group.judged:
            points[group.problem_id, group.arm].append((group.step, group.successes / group.judged))
    histories: dict[str, dict[str, ArmHistory]] = defaultdict(dict)
    for row in run.ledger:
        of_arm = points.get((row.problem_id, row.arm)) or [(o.step, o.successes / o.judged) for o in row.last]
        histories[row.problem_id][row.arm] = ArmHistory(
            row.attempts, row.successes, row.first_solve_step, tuple(sorted(of_arm, key=lambda point: point[0]))
        )
    return histories


def _measured(run: RunRecords) -> dict[str, dict[str, tuple[int, int]]]:
    found: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    for stage, arms in run.measured.items():
        for result in arms.get(UNGUIDED, ()):
            found[result.problem_id][stage] = (result.successes, result.judged)
    return found


def _unguided_rate(row: ProblemRow) -> float:
    return row.by_arm[UNGUIDED].rate if UNGUIDED in row.by_arm else 0.0
