r"""Turns the rows of any source into problems, by the names of their columns.

A row with a wrong form (a missing column, a wrong type, a repeated id) raises `UsageError`. A row whose content cannot
be trained on (see `RejectionReason`) becomes a `RejectedRow`.

    layout = Layout("sums", "sums.jsonl", {"statement": "question"})
    read_rows([Row(1, "sums.jsonl:1", {"question": "What is 1+1?", "answer": "1+1=2\n#### 2"})], layout)
    -> Problem(id="sums-31adf3e245f9", statement="What is 1+1?", answer="2", solution="1+1=2", ...)
"""

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NoReturn

from actors.problems.answer_values import NoAnswer, Unmatchable, answer_text, asks_for_proof, missing_answer
from actors.problems.conversations import (
    Conversation,
    ConversationError,
    is_conversation,
    read_conversation,
    written_conversation,
)
from actors.problems.problem_set import ProblemSet, RejectedRow, RejectionReason
from actors.problems.reference_answers import clean_answer, obvious_fault
from actors.problems.solutions import Candidate, DroppedSolution, Judged, choose, judge, listed_candidates
from actors.verification.answer_rules import decide
from broker.errors import UsageError
from broker.records import Bucket, Problem
from conf.names import did_you_mean

CONVERSATIONS = ("messages", "conversations", "conversation", "prompt")
"""Columns that hold the problem as a list of turns, or as a text, where no column has one of its other names."""
COLUMNS = {
    "statement": ("problem", "statement", "question", *CONVERSATIONS),
    "answer": ("answer", "final_answer"),
    "solution": ("solution",),
    "id": ("id",),
    "level": ("level", "difficulty"),
    "bucket": ("bucket",),
    "guidance": ("guidance",),
    "source": ("source",),
    "system": ("system",),
}
"""Problem field -> its usual columns, in the order they are tried; `problems.fields` may name another."""
BUCKETS: dict[str, Bucket] = {"hard": "hard", "easy": "easy", "easier": "easier"}
IMAGES = ("image", "images")
"""Columns of pictures that belong to the problem."""

_PROOF_REQUEST = re.compile(r"\s*(?:\(?[a-z0-9]{1,2}[.)]\s*)?(?:prove|show) (?:that|the)\b", re.IGNORECASE)
_QUESTION = re.compile(
    r"\?|\b(?:find|determine|compute|calculate|evaluate|what|how many|which|express)\b", re.IGNORECASE
)
_STEPS = re.compile(r"(.*?)\s*^####[ \t]*(\S[^\n]*)\s*\Z", re.MULTILINE | re.DOTALL)
"""GSM8K has solution and answer in one text: the steps, then a line `#### 1,080`."""
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?")
_CALCULATOR = re.compile(r"<<[^<>]*>>")
"""GSM8K has calculator annotations: `<<16-3-4=9>>9`."""
_IMAGE = re.compile(r"<img\b|<image(?:_?[0-9]+)?>|!\[[^\]]*\]\(|\\includegraphics")
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
    found = _Found()
    seen_columns: set[str] = set()
    for row in rows:
        seen_columns.update(row.columns)
        reader = _RowReader(row, layout)
        result = reader.read()
        found.note_id(reader.own_id(), row)
        if isinstance(result, RejectedRow):
            found.rejected.append(result)
        else:
            found.add(result, reader.candidates, row.number)
    _check_mapping(layout, seen_columns)
    return found.problem_set()


@dataclass
class _Found:
    """What has been read so far."""

    problems: dict[str, Problem] = field(default_factory=dict)
    rejected: list[RejectedRow] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    dropped: list[DroppedSolution] = field(default_factory=list)
    open_solutions: dict[str, tuple[Judged, ...]] = field(default_factory=dict)
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
        earlier = self._by_statement.setdefault(_normalized(problem.statement), problem)
        if earlier is not problem:
            self._reject_repeated(earlier, problem, row)
            return
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
        if decide(earlier.answer, later.answer) != "wrong":
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
        return ProblemSet(list(self.problems.values()), rejected, self.rows, dropped, self.open_solutions)


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


PROOF = "it asks for a proof, which no final answer can be compared with"


class _RowReader:
    """Interprets one row by one layout."""

    def __init__(self, row: Row, layout: Layout) -> None:
        self._row = row
        self._layout = layout
        self._id = f"row {row.number}"
        self._steps: str | None = None
        self._conversation: Conversation | None = None
        self.candidates: list[Candidate] = []
        """The solutions of the row, in the order in which they are preferred; read with the problem."""

    def read(self) -> Problem | RejectedRow:
        if (column := self._column_with_surrogate()) is not None:
            detail = f'"{column}" holds half of a surrogate pair, which UTF-8 cannot encode; write the whole character'
            return RejectedRow(self._row.number, self._id, "not_unicode", detail)
        try:
            return self._problem()
        except ConversationError as error:
            return self._rejected(error.reason, f'"{self._place("statement")[0]}" {error}')
        except NoAnswer as error:
            return self._rejected("no_answer", f'"{self._raw("answer")[0]}" {error}')
        except Unmatchable as error:
            return self._rejected("unmatchable_answer", f'"{self._raw("answer")[0]}" {error}')

    def _problem(self) -> Problem | RejectedRow:
        """Raises ConversationError, NoAnswer, Unmatchable."""
        statement, system = self._statement()
        id = self._id = self.own_id() or (content_id(self._layout.stem, statement) if statement else self._id)
        if rejection := self._statement_rejection(statement):
            return self._rejected(*rejection)
        answer = self._answer()
        if rejection := self._answer_rejection(answer):
            return self._rejected(*rejection)
        self.candidates = self._candidates()
        source = self._value("source")[1]
        return Problem(
            id=id, statement=statement, answer=answer, guidance=self._guidance(), bucket=self._bucket(), system=system,
            source=source if isinstance(source, str) and source else self._layout.source,
        )  # fmt: skip

    def _rejected(self, reason: RejectionReason, detail: str) -> RejectedRow:
        return RejectedRow(self._row.number, self.own_id() or self._id, reason, detail)

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

    def _candidates(self) -> list[Candidate]:
        column, value = self._place("solution")
        if is_conversation(value):
            value = read_conversation(value).solution
        items = value if isinstance(value, list) else [value]
        places = [f"{column}.{number}" for number in range(len(items))] if isinstance(value, list) else [column]
        texts = [self._text(place, _present(item)) for place, item in zip(places, items, strict=True)]
        found = [Candidate(text, place) for place, text in zip(places, texts, strict=True) if not missing_answer(text)]
        if not found and self._conversation is not None and self._conversation.solution:
            found = [Candidate(self._conversation.solution, self._place("statement")[0])]
        if not found and self._steps:
            found = [Candidate(self._steps, self._raw("answer")[0])]
        return [*found, *listed_candidates(self._row.columns)]

    def _statement(self) -> tuple[str, str | None]:
        """(statement, system message or None). Raises ConversationError."""
        column, value = self._place("statement")
        if isinstance(value, str):
            value = written_conversation(value) or value
        system = self._value("system")[1]
        if is_conversation(value):
            self._conversation = read_conversation(value)
            statement, system = self._conversation.statement, system or self._conversation.system
        else:
            statement = self._text(column, _present(self._required("statement")[1]))
        if self._layout.strip_instructions is not None:
            statement = self._layout.strip_instructions(statement).strip()
        if _IMAGE.search(statement) or any(_present(self._row.columns.get(name)) for name in IMAGES):
            raise ConversationError("not_text", "has an image; only text can be trained on")
        return statement, self._text("system", system) or None

    def _answer(self) -> str:
        """The clean answer. Raises NoAnswer, Unmatchable."""
        column, value = self._required("answer")
        try:
            answer = answer_text(value)
        except TypeError as error:
            self._fail(
                f'"{column}" is a JSON {error}; write it as a string, or name its part in problems.fields.answer'
            )
        if steps := _STEPS.fullmatch(answer):
            self._steps, answer = _CALCULATOR.sub("", steps[1]).strip() or None, steps[2].strip()
            answer = answer.replace(",", "") if _GROUPED.fullmatch(answer) else answer
        return clean_answer(answer)

    def _statement_rejection(self, statement: str) -> tuple[RejectionReason, str] | None:
        """(reason, detail) when the row has no statement, another level than asked for, or asks for a proof."""
        if missing_answer(statement):
            told = f"is {statement!r}" if statement else "is empty"
            return "empty_statement", f'"{self._place("statement")[0]}" {told}; write the statement, or remove the row'
        level = self._level()
        if (levels := self._layout.levels) is not None and (level is None or not levels[0] <= level <= levels[1]):
            found = "it has no level" if level is None else f"its level is {level:g}"
            return "outside_levels", f"{found}, problems.levels asks for {levels[0]:g} to {levels[1]:g}"
        if _PROOF_REQUEST.match(statement) and not _QUESTION.search(statement):
            return "proof_only", PROOF
        return None

    def _answer_rejection(self, answer: str) -> tuple[RejectionReason, str] | None:
        """(reason, detail) when no response could be compared with the answer."""
        if asks_for_proof(answer):
            return "proof_only", PROOF
        if fault := missing_answer(answer):
            written = self._raw("answer")[1]
            once = " once its box or dollar signs are removed" if isinstance(written, str) and written.strip() else ""
            return "no_answer", f'"answer" {fault if answer else fault.replace("empty", "empty" + once, 1)}'
        if fault := obvious_fault(answer):
            return "unparsable_answer", f'"answer" {fault}'
        return None

    def _raw(self, name: str) -> tuple[str, Any]:
        """(column, value) of the problem field `name`; the value is None when the row has no such column."""
        columns = self._row.columns
        if mapped := self._layout.columns.get(name):
            return mapped, _value_at(columns, mapped)
        column = next((column for column in COLUMNS[name] if column in columns), COLUMNS[name][0])
        return column, columns.get(column)

    def _value(self, name: str) -> tuple[str, Any]:
        """`_raw`, with None in place of NaN."""
        column, value = self._raw(name)
        return column, _present(value)

    def _place(self, name: str) -> tuple[str, Any]:
        """`_value`, or the whole conversation where a mapped column is the content of one turn.

        A position says nothing about who speaks: `messages.0.content` may be a system turn.
        """
        column, value = self._value(name)
        steps = column.split(".")
        for end in range(1, len(steps)):
            inside = _value_at(self._row.columns, ".".join(steps[:end]))
            if is_conversation(inside) and column not in self._row.columns:
                return ".".join(steps[:end]), inside
        return column, value

    def _required(self, name: str) -> tuple[str, Any]:
        column, value = self._raw(name)
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
        return float(value) if isinstance(value, int | float | Decimal) and not isinstance(value, bool) else None

    def _fail(self, message: str) -> NoReturn:
        raise UsageError(f"{self._row.location}: {message}")


def _present(value: Any) -> Any:
    """The value; None for NaN, which tables have in place of a missing one."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _holds_surrogate(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_holds_surrogate, value))
    if isinstance(value, Mapping):
        return any(map(_holds_surrogate, value.values()))
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
