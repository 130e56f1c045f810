"""The rows of a source before they are interpreted, and the columns in which problems are found. Pure."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from broker.records import Bucket

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
    verbatim_answers: bool = False
    """Whether reference answers, and solutions, are taken as they are written: they are no mathematics."""


def content_id(stem: str, statement: str) -> str:
    """`stem-` and the first 12 hex digits of the SHA-256 of the statement, its white space normalized to blanks."""
    return f"{stem}-{hashlib.sha256(normalized(statement).encode()).hexdigest()[:12]}"


def normalized(text: str) -> str:
    """The text with single blanks as its only white space."""
    return " ".join(text.split())


def value_at(columns: Mapping[str, Any], path: str) -> Any:
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
