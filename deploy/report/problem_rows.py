"""Every problem of a run in a row: its course under each arm, what guidance carried over, what was measured. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from deploy.report.draw_transfer import UNGUIDED, transfer_of
from deploy.report.run_records import RunRecords

NEVER = "unsolved"


@dataclass(frozen=True)
class Course:
    """One problem under one arm."""

    attempts: int
    successes: int
    first_solve: int | None
    """Optimizer step."""
    points: tuple[tuple[int, float], ...]
    """(step, share of correct rollouts) of every group, ascending."""

    @property
    def rate(self) -> float:
        return self.successes / self.attempts if self.attempts else 0.0


@dataclass(frozen=True)
class ProblemRow:
    """One problem of one run."""

    id: str
    bucket: str
    statement: str
    courses: Mapping[str, Course]
    """By arm."""
    became: str
    """How it was first solved, in the words of `WORDS`."""
    measured: Mapping[str, tuple[int, int]]
    """Stage of unguided measurement -> (correct, judged)."""


WORDS = {
    "then_unguided": "guided, then unguided",
    "guided_first": "guided only",
    "unsolved": NEVER,
    "unguided_first": "unguided first",
    "same_step": "both at one step",
}
"""Class of `deploy/statistics/transfer.py` -> words, the most telling first; a problem has the first that fits."""


def problem_rows(run: RunRecords) -> list[ProblemRow]:
    """Least solved without guidance first, so that what is left to learn stands at the top."""
    became = _became(run)
    courses = _courses(run)
    problems = {problem.id: problem for problem in run.problems}
    measured = _measured(run)
    buckets = {group.problem_id: group.bucket for group in run.groups}
    rows = []
    for id in sorted(problems.keys() | courses.keys()):
        problem = problems.get(id)
        rows.append(
            ProblemRow(
                id=id,
                bucket=problem.bucket if problem else buckets.get(id, ""),
                statement=problem.statement if problem else "",
                courses=courses.get(id, {}),
                became=became.get(id, ""),
                measured=measured.get(id, {}),
            )
        )
    return sorted(rows, key=lambda row: (row.bucket != "hard", _unguided_rate(row), row.id))


def telling(rows: Sequence[ProblemRow], count: int) -> list[ProblemRow]:
    """At most `count` rows to read in full: one of each kind of `WORDS` in turn, then the next of each."""
    kinds = [[row for row in rows if row.bucket == "hard" and row.became == words] for words in WORDS.values()]
    others = [row for row in rows if row.bucket == "hard" and not row.became]
    in_turn = [row for row in chain.from_iterable(zip_longest(*kinds, others)) if row is not None]
    return in_turn[:count]


def _became(run: RunRecords) -> dict[str, str]:
    found = transfer_of(run)
    if found is None:
        solved = {row.problem_id for row in run.ledger if row.first_solve_step is not None}
        return {row.problem_id: "" if row.problem_id in solved else NEVER for row in run.ledger}
    return {id: WORDS[name] for name in reversed(WORDS) for id in getattr(found, name)}


def _courses(run: RunRecords) -> dict[str, dict[str, Course]]:
    """Problem -> arm -> course; the points of a run without group reports are those its ledger kept."""
    points: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
    for group in run.groups:
        if group.judged:
            points[group.problem_id, group.arm].append((group.step, group.successes / group.judged))
    courses: dict[str, dict[str, Course]] = defaultdict(dict)
    for row in run.ledger:
        kept = points.get((row.problem_id, row.arm)) or [(o.step, o.successes / o.judged) for o in row.last]
        courses[row.problem_id][row.arm] = Course(
            row.attempts, row.successes, row.first_solve_step, tuple(sorted(kept, key=lambda point: point[0]))
        )
    return courses


def _measured(run: RunRecords) -> dict[str, dict[str, tuple[int, int]]]:
    found: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    for stage, arms in run.measured.items():
        for result in arms.get(UNGUIDED, ()):
            found[result.problem_id][stage] = (result.successes, result.judged)
    return found


def _unguided_rate(row: ProblemRow) -> float:
    return row.courses[UNGUIDED].rate if UNGUIDED in row.courses else 0.0
