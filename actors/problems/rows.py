r"""Turns the rows of any source into problems, by the names of their columns.

A row with a wrong form (a missing column, a wrong type, a repeated id) raises `UsageError`. A row whose content cannot
be trained on (see `RejectionReason`) becomes a `RejectedRow`.

    layout = Layout("sums", "sums.jsonl", {"statement": "question"})
    read_rows([Row(1, "sums.jsonl:1", {"question": "What is 1+1?", "answer": "1+1=2\n#### 2"})], layout)
    -> Problem(id="sums-31adf3e245f9", statement="What is 1+1?", answer="2", solution="1+1=2", ...)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from actors.problems.problem_set import ProblemSet, RejectedRow
from actors.problems.row_layout import Layout, Row, normalized
from actors.problems.row_reader import RowReader
from actors.problems.solutions import Candidate, DroppedSolution, Judged, choose, judge
from actors.verification.answer_rules import decide
from broker.errors import UsageError
from broker.records import Problem
from conf.names import did_you_mean


def read_rows(rows: Iterable[Row], layout: Layout) -> ProblemSet:
    """Problems and rejected rows, in order. Answers are not parsed; see `check_answers`. Raises UsageError."""
    found = _Found(layout.verbatim_answers)
    seen_columns: set[str] = set()
    for row in rows:
        seen_columns.update(row.columns)
        reader = RowReader(row, layout)
        result = reader.read()
        found.note_id(reader.own_id(), row)
        if isinstance(result, RejectedRow):
            found.rejected.append(result)
        else:
            found.add(result, reader.candidates, row.number)
            if reader.is_last_question:
                found.last_questions.add(result.id)
    _check_mapping(layout, seen_columns)
    return found.problem_set()


@dataclass
class _Found:
    """What has been read so far."""

    verbatim_answers: bool
    problems: dict[str, Problem] = field(default_factory=dict)
    rejected: list[RejectedRow] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    dropped: list[DroppedSolution] = field(default_factory=list)
    open_solutions: dict[str, tuple[Judged, ...]] = field(default_factory=dict)
    last_questions: set[str] = field(default_factory=set)
    _row_of_own_id: dict[str, int] = field(default_factory=dict)
    _by_statement: dict[str, Problem] = field(default_factory=dict)

    def note_id(self, own_id: str | None, row: Row) -> None:
        """Raises UsageError for an id that an earlier row has."""
        if own_id is None:
            return
        if own_id in self._row_of_own_id:
            line = f"{'line' if row.location.endswith(f':{row.number}') else 'row'} {self._row_of_own_id[own_id]}"
            raise UsageError(
                f'{row.location}: "id" {own_id!r} is already that of {line}; give every problem an id of its own'
            )
        self._row_of_own_id[own_id] = row.number

    def add(self, problem: Problem, candidates: Sequence[Candidate], row: int) -> None:
        """Keeps a problem with its solution, unless an earlier row has the same statement."""
        earlier = self._by_statement.setdefault(normalized(problem.statement), problem)
        if earlier is not problem:
            self._reject_repeated(earlier, problem, row)
            return
        if self.verbatim_answers:
            judged = tuple(Judged(candidate, "unboxed", "") for candidate in candidates)
        else:
            judged = tuple(judge(candidate, problem.answer) for candidate in candidates)
        self.problems[problem.id], dropped, chosen = choose(problem, judged, row)
        self.rows[problem.id] = row
        if chosen is not None and chosen.standing == "open":
            self.open_solutions[problem.id] = judged
        else:
            self.dropped += dropped

    def _reject_repeated(self, earlier: Problem, later: Problem, row: int) -> None:
        """Rejects a statement that occurs twice, and the earlier row too when the answers contradict each other."""
        if earlier.answer == later.answer:
            self.rejected.append(RejectedRow(row, later.id, "duplicate", f"the same statement as {earlier.id}"))
            return
        told = f"the same statement as {earlier.id}, whose answer is {earlier.answer!r} and not {later.answer!r}"
        if not self.verbatim_answers and decide(earlier.answer, later.answer) != "wrong":
            self.rejected.append(RejectedRow(row, later.id, "duplicate", told))
            return
        remedy = "; remove the wrong one"
        self.rejected.append(RejectedRow(row, later.id, "conflicting_answers", told + remedy))
        if self.problems.pop(earlier.id, None) is not None:
            first = self.rows.pop(earlier.id)
            self.open_solutions.pop(earlier.id, None)
            told = f"the same statement as row {row}, whose answer is {later.answer!r} and not {earlier.answer!r}"
            self.rejected.append(RejectedRow(first, earlier.id, "conflicting_answers", told + remedy))

    def problem_set(self) -> ProblemSet:
        rejected = sorted(self.rejected, key=lambda row: row.row)
        dropped = [solution for solution in self.dropped if solution.id in self.problems]
        return ProblemSet(
            list(self.problems.values()), rejected, self.rows, dropped, self.open_solutions,
            frozenset(self.last_questions),
        )  # fmt: skip


def _check_mapping(layout: Layout, seen: set[str]) -> None:
    """Raises UsageError for a column of `problems.fields` that is in no row, because it is probably misspelt."""
    for name, column in layout.columns.items():
        top = column.partition(".")[0]
        if seen and column not in seen and top not in seen:
            raise UsageError(
                f"problems.fields.{name}={column}: {layout.source} has no such column, it has {', '.join(sorted(seen))}"
                + did_you_mean(top, seen)
            )
