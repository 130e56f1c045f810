"""Interprets one row of a source: its problem, its solutions, or why it cannot be trained on. Pure."""

import math
import re
from collections.abc import Mapping
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
from actors.problems.problem_set import RejectedRow, RejectionReason
from actors.problems.reference_answers import clean_answer, obvious_fault
from actors.problems.row_layout import BUCKETS, COLUMNS, Layout, Row, content_id, value_at
from actors.problems.solutions import Candidate, listed_candidates
from broker.errors import UsageError
from broker.records import Bucket, Problem

IMAGES = ("image", "images")
"""Columns of pictures that belong to the problem."""

PROOF = "it asks for a proof, which no final answer can be compared with"

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


class RowReader:
    """Interprets one row by one layout."""

    def __init__(self, row: Row, layout: Layout) -> None:
        self._row = row
        self._layout = layout
        self._id = f"row {row.number}"
        self._steps: str | None = None
        self._conversation: Conversation | None = None
        self.candidates: list[Candidate] = []
        """The solutions of the row, in the order in which they are preferred; read with the problem."""

    @property
    def is_last_question(self) -> bool:
        """Whether the problem is the last of several questions; known once the row is read."""
        return self._conversation is not None and self._conversation.num_earlier > 0

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
            value = self._required("statement")[1]
            statement = "" if value == [] else self._text(column, _present(value))
        if self._layout.strip_instructions is not None:
            statement = self._layout.strip_instructions(statement).strip()
        if _IMAGE.search(statement) or any(_present(self._row.columns.get(name)) for name in IMAGES):
            raise ConversationError("not_text", "has an image; only text can be trained on")
        return statement, self._text("system", system) or None

    def _answer(self) -> str:
        """The clean answer. Raises NoAnswer, Unmatchable."""
        column, value = self._required("answer")
        if self._layout.verbatim_answers:
            return self._text(column, _present(value))
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
        if self._layout.verbatim_answers:
            return None if answer else ("no_answer", '"answer" is empty')
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
            return mapped, value_at(columns, mapped)
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
            inside = value_at(self._row.columns, ".".join(steps[:end]))
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
