r"""Rows of any source -> problems, by the names of their columns.

A row that breaks the form of its source (a missing column, a wrong type, an id twice) stops the reading with a
`UsageError`. A row whose content is no use (see `Reason`) becomes a `Rejected`.

    layout = Layout("sums", "sums.jsonl", {"statement": "question"})
    read_rows([Row(1, "sums.jsonl:1", {"question": "What is 1+1?", "answer": "1+1=2\n#### 2"})], layout)
    -> Problem(id="sums-31adf3e245f9", statement="What is 1+1?", answer="2", solution="1+1=2", ...)
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, cast

from actors.problems.gold_answers import clean, fault
from actors.problems.problem_set import ProblemSet, Reason, Rejected
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
"""Our field -> the columns it is looked for in, unless `problems.fields` names one."""
BUCKETS: dict[str, Bucket] = {"hard": "hard", "easy": "easy", "easier": "easier"}
NEEDED = ("statement", "answer")
NO_ANSWERS = ("proof", "notfound", "not found", "n/a", "see solution")
"""What some sets write where there is no answer."""

_PROOF_REQUEST = re.compile(r"\s*(?:\(?[a-z0-9]{1,2}[.)]\s*)?(?:prove|show) (?:that|the)\b", re.IGNORECASE)
_QUESTION = re.compile(
    r"\?|\b(?:find|determine|compute|calculate|evaluate|what|how many|which|express)\b", re.IGNORECASE
)
_STEPS = re.compile(r"(.*?)\s*^####[ \t]*(\S[^\n]*)\s*\Z", re.MULTILINE | re.DOTALL)
"""GSM8K writes solution and answer in one: the steps, then `#### 1,080` on a line of its own."""
_CALCULATOR = re.compile(r"<<[^<>]*>>")
"""GSM8K marks what a calculator would have written: `<<16-3-4=9>>9`."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_LEVEL = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Row:
    """One row as its source holds it."""

    number: int
    """From 1: line of a JSONL file, item of a JSON list, row of a table."""
    place: str
    """How a complaint names it, such as FILE:LINE."""
    columns: Mapping[str, Any]


@dataclass(frozen=True)
class Layout:
    """How the rows of one source are read."""

    stem: str
    """Ids begin with it."""
    source: str
    """Where the problems come from, unless a row says it."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Our field -> its column; `a.b` is b inside a, `a.0` the first of the list a."""
    tidy: Callable[[str], str] | None = None
    """Takes off what a set wraps around every statement."""
    levels: tuple[float, float] | None = None
    """Only rows of these levels, both ends included."""


def content_id(stem: str, statement: str) -> str:
    """`stem-` and the first 12 hex digits of the SHA-256 of the statement, its white space made single blanks."""
    return f"{stem}-{hashlib.sha256(_normal(statement).encode()).hexdigest()[:12]}"


def read_rows(rows: Iterable[Row], layout: Layout) -> ProblemSet:
    """Problems and rejected rows in their order. No answer has been parsed yet: see `golds.check_answers`."""
    problems: list[Problem] = []
    rejected: list[Rejected] = []
    own_ids: dict[str, int] = {}
    taken: dict[str, Problem] = {}
    numbers: dict[str, int] = {}
    seen_columns: set[str] = set()
    for row in rows:
        seen_columns.update(row.columns)
        reader = _Reader(row, layout)
        found = reader.read()
        if (own_id := reader.own_id()) is not None:
            if own_id in own_ids:
                line = f"{'line' if row.place.endswith(f':{row.number}') else 'row'} {own_ids[own_id]}"
                raise UsageError(f'{row.place}: "id" {own_id!r} is already that of {line}; ids are unique')
            own_ids[own_id] = row.number
        if isinstance(found, Problem):
            earlier = taken.setdefault(_normal(found.statement), found)
            if earlier is not found:
                found = Rejected(row.number, found.id, "duplicate", _same_as(earlier, found))
        if isinstance(found, Problem):
            problems.append(found)
            numbers[found.id] = row.number
        else:
            rejected.append(found)
    _check_mapping(layout, seen_columns)
    return ProblemSet(problems, rejected, numbers)


def _same_as(earlier: Problem, found: Problem) -> str:
    differs = f", whose answer is {earlier.answer!r} and not {found.answer!r}" if earlier.answer != found.answer else ""
    return f"the same statement as {earlier.id}{differs}"


def _check_mapping(layout: Layout, seen: set[str]) -> None:
    """A misspelt column that may be missing from a row would otherwise never be noticed."""
    for name, column in layout.columns.items():
        top = column.partition(".")[0]
        if seen and column not in seen and top not in seen:
            raise UsageError(
                f"problems.fields.{name}={column}: {layout.source} has no such column, it has {', '.join(sorted(seen))}"
                + did_you_mean(top, seen)
            )


def _normal(text: str) -> str:
    return " ".join(text.split())


class _Reader:
    """One row under one layout."""

    def __init__(self, row: Row, layout: Layout) -> None:
        self._row = row
        self._layout = layout

    def read(self) -> Problem | Rejected:
        if (broken := self._not_unicode()) is not None:
            detail = f'"{broken}" holds half of a surrogate pair, which no file can; write the character it belongs to'
            return Rejected(self._row.number, f"row {self._row.number}", "not_unicode", detail)
        column, value = self._needed("statement")
        statement = self._text(column, value)
        column, value = self._needed("answer")
        answer = self._answer(column, value)
        bucket = self._bucket()
        solution = self._solution()
        guidance = self._guidance()
        level = self._level()
        if self._layout.tidy is not None:
            statement = self._layout.tidy(statement).strip()
        if steps := _STEPS.fullmatch(answer):
            solution, answer = solution or _CALCULATOR.sub("", steps[1]).strip() or None, steps[2].replace(",", "")
        id = self.own_id() or content_id(self._layout.stem, statement)
        answer = clean(answer)
        if refusal := self._refusal(statement, answer, level):
            return Rejected(self._row.number, id if statement else f"row {self._row.number}", *refusal)
        source = self._value("source")[1]
        return Problem(
            id=id, statement=statement, answer=answer, solution=solution, guidance=guidance, bucket=bucket,
            source=source if isinstance(source, str) and source else self._layout.source,
        )  # fmt: skip

    def own_id(self) -> str | None:
        """The id the row brings with it."""
        value = self._value("id")[1]
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
            self._refuse('"id" must be a text or a whole number; leave it out to have one made from the statement')
        return str(value).strip()

    def _not_unicode(self) -> str | None:
        """The column whose text cannot be encoded, if one is: JSON can spell a lone surrogate."""
        columns = (self._value(name) for name in COLUMNS)
        return next((column for column, value in columns if _holds_surrogate(value)), None)

    def _refusal(self, statement: str, answer: str, level: float | None) -> tuple[Reason, str] | None:
        """Why the row is no use, if it is none."""
        if not statement:
            return "empty_statement", f'"{self._value("statement")[0]}" is empty; write it, or leave the line out'
        if (levels := self._layout.levels) is not None and (level is None or not levels[0] <= level <= levels[1]):
            said = "it has no level" if level is None else f"its level is {level:g}"
            return "outside_levels", f"{said}, problems.levels asks for {levels[0]:g} to {levels[1]:g}"
        is_proof = _PROOF_REQUEST.match(statement) is not None and _QUESTION.search(statement) is None
        if is_proof or answer.lower() in NO_ANSWERS:
            return "proof_only", "it asks for a proof, which no final answer can be compared with"
        if not answer:
            said = self._value("answer")[1]
            once = " once its box or dollar signs are gone" if isinstance(said, str) and said.strip() else ""
            return "no_answer", f'"answer" is empty{once}; write the answer itself, or leave the line out'
        if complaint := fault(answer):
            return "unparsable_answer", f'"answer" {complaint}'
        return None

    def _value(self, name: str) -> tuple[str, Any]:
        """(column, what is in it) of our field `name`; None when there is no such column."""
        columns = self._row.columns
        if mapped := self._layout.columns.get(name):
            return mapped, _inside(columns, mapped)
        column = next((column for column in COLUMNS[name] if column in columns), COLUMNS[name][0])
        return column, columns.get(column)

    def _needed(self, name: str) -> tuple[str, Any]:
        column, value = self._value(name)
        if value is None and column.partition(".")[0] not in self._row.columns:
            mapped = f"; problems.fields.{name} names it" if name in self._layout.columns else ""
            there = f", this one has {', '.join(self._row.columns)}" if self._row.columns else ""
            self._refuse(f'no "{column}"; every line needs a problem and an answer{there}{mapped}')
        return column, value

    def _text(self, column: str, value: Any) -> str:
        if value is None:
            return ""
        if not isinstance(value, str):
            self._refuse(f'"{column}" is a JSON {type(value).__name__}; write it as a string')
        return value.strip()

    def _answer(self, column: str, value: Any) -> str:
        """A list of one answer is that answer, of several all of them."""
        if isinstance(value, list):
            return ", ".join(self._answer(column, item) for item in value)
        if isinstance(value, float) and value.is_integer():  # a table with an empty cell holds its integers as floats
            value = int(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        return self._text(column, value)

    def _solution(self) -> str | None:
        """The first of several."""
        column, value = self._value("solution")
        written = value if isinstance(value, list) else [value]
        return next((text for item in written if (text := self._text(column, item))), None)

    def _guidance(self) -> str | None:
        """As it stands: a prefix of the solution, and its end is where it was cut."""
        column, value = self._value("guidance")
        if value is not None and not isinstance(value, str):
            self._text(column, value)
        return cast(str | None, value)

    def _bucket(self) -> Bucket:
        value = self._value("bucket")[1]
        if value is None:
            return "hard"
        if not isinstance(value, str) or value not in BUCKETS:
            self._refuse(f'"bucket" is {value!r}; it is {", ".join(list(BUCKETS)[:-1])} or {list(BUCKETS)[-1]}')
        return BUCKETS[value]

    def _level(self) -> float | None:
        """A number, or the number in a text such as `Level 5`."""
        if self._layout.levels is None:
            return None
        column, value = self._value("level")
        if column not in self._row.columns and "level" not in self._layout.columns:
            self._refuse("problems.levels needs a level; name its column in problems.fields.level, or set it to null")
        if isinstance(value, str):
            number = _LEVEL.search(value)
            return float(number[0]) if number else None
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def _refuse(self, complaint: str) -> NoReturn:
        raise UsageError(f"{self._row.place}: {complaint}")


def _holds_surrogate(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_holds_surrogate, value))
    return isinstance(value, str) and _SURROGATE.search(value) is not None


def _inside(columns: Mapping[str, Any], path: str) -> Any:
    """The value at `a.b.0`; None where the path ends early. A column whose name holds dots comes first."""
    if path in columns:
        return columns[path]
    value: Any = columns
    for step in path.split("."):
        if isinstance(value, Sequence) and not isinstance(value, str) and step.isdecimal():
            value = value[int(step)] if int(step) < len(value) else None
        else:
            value = value.get(step) if isinstance(value, Mapping) else None
    return value
