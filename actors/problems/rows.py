r"""Turns the rows of any source into problems, by the names of their columns.

A row with a wrong form (a missing column, a wrong type, a repeated id) raises `UsageError`. A row whose content cannot
be trained on (see `RejectionReason`) becomes a `RejectedRow`.

    layout = Layout("sums", "sums.jsonl", {"statement": "question"})
    read_rows([Row(1, "sums.jsonl:1", {"question": "What is 1+1?", "answer": "1+1=2\n#### 2"})], layout)
    -> Problem(id="sums-31adf3e245f9", statement="What is 1+1?", answer="2", solution="1+1=2", ...)
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from actors.problems.problem_set import ProblemSet, RejectedRow, RejectionReason
from actors.problems.reference_answers import clean_answer, obvious_fault
from broker.errors import UsageError
from broker.records import Bucket, Problem
from conf.names import did_you_mean

COLUMNS = {
    "statement": ("problem", "statement", "question"),
    "answer": ("answer", "final_answer"),
    "solution": ("solution",),
    "id": ("id",),
    "level": ("level", "difficulty"),
    "bucket": ("bucket",),
    "guidance": ("guidance",),
    "source": ("source",),
}
"""Problem field -> its usual columns, in the order they are tried; `problems.fields` may name another."""
BUCKETS: dict[str, Bucket] = {"hard": "hard", "easy": "easy", "easier": "easier"}
ANSWER_PLACEHOLDERS = ("proof", "notfound", "not found", "n/a", "see solution")
"""Texts that some data sets have in place of a missing answer."""

_PROOF_REQUEST = re.compile(r"\s*(?:\(?[a-z0-9]{1,2}[.)]\s*)?(?:prove|show) (?:that|the)\b", re.IGNORECASE)
_QUESTION = re.compile(
    r"\?|\b(?:find|determine|compute|calculate|evaluate|what|how many|which|express)\b", re.IGNORECASE
)
_STEPS = re.compile(r"(.*?)\s*^####[ \t]*(\S[^\n]*)\s*\Z", re.MULTILINE | re.DOTALL)
"""GSM8K has solution and answer in one text: the steps, then a line `#### 1,080`."""
_CALCULATOR = re.compile(r"<<[^<>]*>>")
"""GSM8K has calculator annotations: `<<16-3-4=9>>9`."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_LEVEL = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Row:
    """One row of a source, before it is interpreted."""

    number: int
    """From 1: line of a JSONL file, item of a JSON list, row of a table."""
    location: str
    """Location for error messages, such as FILE:LINE."""
    columns: Mapping[str, Any]


@dataclass(frozen=True)
class Layout:
    """How the rows of one source are interpreted."""

    stem: str
    """Prefix of ids computed from the statement."""
    source: str
    """`Problem.source` of rows without a column `source`."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Problem field -> its column; `a.b` is b inside a, `a.0` the first of the list a."""
    strip_instructions: Callable[[str], str] | None = None
    """Removes the instructions that a data set adds to every statement."""
    levels: tuple[float, float] | None = None
    """(lowest, highest) accepted level; other rows are rejected. None: all levels."""


def content_id(stem: str, statement: str) -> str:
    """`stem-` and the first 12 hex digits of the SHA-256 of the statement, its white space normalized to blanks."""
    return f"{stem}-{hashlib.sha256(_normalized(statement).encode()).hexdigest()[:12]}"


def read_rows(rows: Iterable[Row], layout: Layout) -> ProblemSet:
    """Problems and rejected rows, in order. Answers are not parsed; see `check_answers`. Raises UsageError."""
    problems: list[Problem] = []
    rejected: list[RejectedRow] = []
    row_of_id: dict[str, int] = {}
    by_statement: dict[str, Problem] = {}
    row_of_problem: dict[str, int] = {}
    seen_columns: set[str] = set()
    for row in rows:
        seen_columns.update(row.columns)
        reader = _RowReader(row, layout)
        result = reader.read()
        if (own_id := reader.own_id()) is not None:
            if own_id in row_of_id:
                line = f"{'line' if row.location.endswith(f':{row.number}') else 'row'} {row_of_id[own_id]}"
                raise UsageError(
                    f'{row.location}: "id" {own_id!r} is already that of {line}; give every problem an id of its own'
                )
            row_of_id[own_id] = row.number
        if isinstance(result, Problem):
            earlier = by_statement.setdefault(_normalized(result.statement), result)
            if earlier is not result:
                result = RejectedRow(row.number, result.id, "duplicate", _duplicate_detail(earlier, result))
        if isinstance(result, Problem):
            problems.append(result)
            row_of_problem[result.id] = row.number
        else:
            rejected.append(result)
    _check_mapping(layout, seen_columns)
    return ProblemSet(problems, rejected, row_of_problem)


def _duplicate_detail(earlier: Problem, later: Problem) -> str:
    differs = f", whose answer is {earlier.answer!r} and not {later.answer!r}" if earlier.answer != later.answer else ""
    return f"the same statement as {earlier.id}{differs}"


def _check_mapping(layout: Layout, seen: set[str]) -> None:
    """Raises UsageError for a column of `problems.fields` that is in no row, because it is probably misspelt."""
    for name, column in layout.columns.items():
        top = column.partition(".")[0]
        if seen and column not in seen and top not in seen:
            raise UsageError(
                f"problems.fields.{name}={column}: {layout.source} has no such column, it has {', '.join(sorted(seen))}"
                + did_you_mean(top, seen)
            )


def _normalized(text: str) -> str:
    return " ".join(text.split())


class _RowReader:
    """Interprets one row by one layout."""

    def __init__(self, row: Row, layout: Layout) -> None:
        self._row = row
        self._layout = layout

    def read(self) -> Problem | RejectedRow:
        if (column := self._column_with_surrogate()) is not None:
            detail = f'"{column}" holds half of a surrogate pair, which UTF-8 cannot encode; write the whole character'
            return RejectedRow(self._row.number, f"row {self._row.number}", "not_unicode", detail)
        column, value = self._required("statement")
        statement = self._text(column, value)
        column, value = self._required("answer")
        answer = self._answer(column, value)
        bucket = self._bucket()
        solution = self._solution()
        guidance = self._guidance()
        level = self._level()
        if self._layout.strip_instructions is not None:
            statement = self._layout.strip_instructions(statement).strip()
        if steps := _STEPS.fullmatch(answer):
            solution, answer = solution or _CALCULATOR.sub("", steps[1]).strip() or None, steps[2].replace(",", "")
        id = self.own_id() or content_id(self._layout.stem, statement)
        answer = clean_answer(answer)
        if rejection := self._rejection(statement, answer, level):
            return RejectedRow(self._row.number, id if statement else f"row {self._row.number}", *rejection)
        source = self._value("source")[1]
        return Problem(
            id=id, statement=statement, answer=answer, solution=solution, guidance=guidance, bucket=bucket,
            source=source if isinstance(source, str) and source else self._layout.source,
        )  # fmt: skip

    def own_id(self) -> str | None:
        """The id in the row; None if there is none."""
        value = self._value("id")[1]
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
            self._fail('"id" must be a text or a whole number; without an id one is made from the statement')
        return str(value).strip()

    def _column_with_surrogate(self) -> str | None:
        """The first column with half of a surrogate pair, which is valid in JSON but cannot be encoded in UTF-8."""
        columns = (self._value(name) for name in COLUMNS)
        return next((column for column, value in columns if _holds_surrogate(value)), None)

    def _rejection(self, statement: str, answer: str, level: float | None) -> tuple[RejectionReason, str] | None:
        """(reason, detail) when the row cannot be trained on."""
        if not statement:
            column = self._value("statement")[0]
            return "empty_statement", f'"{column}" is empty; write the statement, or remove the row'
        if (levels := self._layout.levels) is not None and (level is None or not levels[0] <= level <= levels[1]):
            found = "it has no level" if level is None else f"its level is {level:g}"
            return "outside_levels", f"{found}, problems.levels asks for {levels[0]:g} to {levels[1]:g}"
        is_proof = _PROOF_REQUEST.match(statement) is not None and _QUESTION.search(statement) is None
        if is_proof or answer.lower() in ANSWER_PLACEHOLDERS:
            return "proof_only", "it asks for a proof, which no final answer can be compared with"
        if not answer:
            written = self._value("answer")[1]
            once = " once its box or dollar signs are removed" if isinstance(written, str) and written.strip() else ""
            return "no_answer", f'"answer" is empty{once}; write the answer itself, or remove the row'
        if fault := obvious_fault(answer):
            return "unparsable_answer", f'"answer" {fault}'
        return None

    def _value(self, name: str) -> tuple[str, Any]:
        """(column, value) of the problem field `name`; the value is None when the row has no such column."""
        columns = self._row.columns
        if mapped := self._layout.columns.get(name):
            return mapped, _value_at(columns, mapped)
        column = next((column for column in COLUMNS[name] if column in columns), COLUMNS[name][0])
        return column, columns.get(column)

    def _required(self, name: str) -> tuple[str, Any]:
        column, value = self._value(name)
        if value is None and column.partition(".")[0] not in self._row.columns:
            mapped = f"; problems.fields.{name} names it" if name in self._layout.columns else ""
            present = f", this one has {', '.join(self._row.columns)}" if self._row.columns else ""
            self._fail(f'no "{column}"; every line needs a problem and an answer{present}{mapped}')
        return column, value

    def _text(self, column: str, value: Any) -> str:
        if value is None:
            return ""
        if not isinstance(value, str):
            self._fail(f'"{column}" is a JSON {type(value).__name__}; write it as a string')
        return value.strip()

    def _answer(self, column: str, value: Any) -> str:
        """The answer as text. The items of a list are joined by commas."""
        if isinstance(value, list):
            return ", ".join(self._answer(column, item) for item in value)
        if isinstance(value, float) and value.is_integer():  # tables with empty cells store integers as floats
            value = int(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        return self._text(column, value)

    def _solution(self) -> str | None:
        """The solution; of a list, the first item that is not empty."""
        column, value = self._value("solution")
        items = value if isinstance(value, list) else [value]
        return next((text for item in items if (text := self._text(column, item))), None)

    def _guidance(self) -> str | None:
        """The guidance, unchanged, white space included, because it is a prefix of the solution."""
        column, value = self._value("guidance")
        if value is None or isinstance(value, str):
            return value
        return self._text(column, value)  # raises UsageError

    def _bucket(self) -> Bucket:
        value = self._value("bucket")[1]
        if value is None:
            return "hard"
        if not isinstance(value, str) or value not in BUCKETS:
            self._fail(f'"bucket" is {value!r}; it is {", ".join(list(BUCKETS)[:-1])} or {list(BUCKETS)[-1]}')
        return BUCKETS[value]

    def _level(self) -> float | None:
        """The level: a number, or the number in a text such as `Level 5`."""
        if self._layout.levels is None:
            return None
        column, value = self._value("level")
        if column not in self._row.columns and "level" not in self._layout.columns:
            self._fail("problems.levels needs a level; name its column in problems.fields.level, or set it to null")
        if isinstance(value, str):
            number = _LEVEL.search(value)
            return float(number[0]) if number else None
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def _fail(self, message: str) -> NoReturn:
        raise UsageError(f"{self._row.location}: {message}")


def _holds_surrogate(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_holds_surrogate, value))
    return isinstance(value, str) and _SURROGATE.search(value) is not None


def _value_at(columns: Mapping[str, Any], path: str) -> Any:
    """The value at `a.b.0`, or None. A column named like the whole path, dots included, has precedence."""
    if path in columns:
        return columns[path]
    value: Any = columns
    for step in path.split("."):
        if isinstance(value, Sequence) and not isinstance(value, str) and step.isdecimal():
            value = value[int(step)] if int(step) < len(value) else None
        else:
            value = value.get(step) if isinstance(value, Mapping) else None
    return value
