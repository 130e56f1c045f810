"""The content of a problem source: its problems, and its rejected rows with reasons. Pure."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from broker.records import Problem

RejectionReason = Literal[
    "empty_statement", "no_answer", "proof_only", "unparsable_answer", "duplicate", "outside_levels", "not_unicode",
    "prompt_too_long", "control_token", "changed_by_template", "no_system_turn",
]  # fmt: skip
"""The last line: found when the model is known, by `actors/prompt_checks.py`."""


@dataclass(frozen=True)
class RejectedRow:
    """A row that is not used for training."""

    row: int
    """Line of a JSONL file, item of a JSON list or row of a table, from 1."""
    id: str
    """The id that its problem would have."""
    reason: RejectionReason
    detail: str
    """Description of the fault."""


@dataclass(frozen=True)
class ProblemSet:
    """The rows of a source; each is either a problem or rejected."""

    problems: list[Problem]
    rejected: list[RejectedRow] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    """Problem id -> its row. Empty for the built-in domain."""

    @property
    def num_rows(self) -> int:
        return len(self.problems) + len(self.rejected)

    def reasons(self) -> dict[RejectionReason, int]:
        """Reason -> number of rejected rows, the most frequent first."""
        return dict(Counter(rejected.reason for rejected in self.rejected).most_common())

    def explain(self) -> str:
        """'671 problems; rejected rows: 3 unparsable_answer, 1 duplicate'."""
        counts = ", ".join(f"{count} {reason}" for reason, count in self.reasons().items())
        return f"{len(self.problems)} problems; rejected rows: {counts or 'none'}"
