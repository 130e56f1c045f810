"""What a source gave: the problems, and why each other row is not one of them."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from broker.records import Problem

Reason = Literal[
    "empty_statement", "no_answer", "proof_only", "unparsable_answer", "duplicate", "outside_levels", "not_unicode"
]


@dataclass(frozen=True)
class Rejected:
    """A row that is never trained on."""

    row: int
    """Line of a JSONL file, item of a JSON list, row of a table; from 1."""
    id: str
    """The id its problem would have had."""
    reason: Reason
    detail: str
    """What is wrong with this row, in a sentence."""


@dataclass(frozen=True)
class ProblemSet:
    """Every row of a source is either among the problems or among the rejected."""

    problems: list[Problem]
    rejected: list[Rejected] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    """Problem id -> its row. Empty for problems that come from no file."""

    @property
    def num_rows(self) -> int:
        return len(self.problems) + len(self.rejected)

    def reasons(self) -> dict[Reason, int]:
        """Rejected rows by reason, the most frequent first."""
        return dict(Counter(rejected.reason for rejected in self.rejected).most_common())

    def explain(self) -> str:
        """'671 problems; rejected rows: 3 unparsable_answer, 1 duplicate'."""
        counts = ", ".join(f"{count} {reason}" for reason, count in self.reasons().items())
        return f"{len(self.problems)} problems; rejected rows: {counts or 'none'}"


def write_rejected(path: Path, rejected: Sequence[Rejected]) -> None:
    """One JSON object a line, written whole or not at all."""
    write_lines(path, [msgspec.json.encode(row) for row in rejected])


def write_lines(path: Path, lines: Sequence[bytes]) -> None:
    """A JSONL file, written whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(b"".join(line + b"\n" for line in lines))
    os.replace(temporary, path)
