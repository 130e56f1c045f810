"""The content of a problem source: its problems, and its rejected rows and dropped solutions with reasons. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from actors.problems.conversations import ConversationFault
from actors.problems.solutions import DroppedSolution, Judged, SolutionFault
from broker.records import Problem

RejectionReason = (
    ConversationFault
    | Literal[
        "no_answer", "proof_only", "unparsable_answer", "unmatchable_answer", "duplicate", "conflicting_answers",
        "outside_levels", "not_unicode", "no_usable_solution", "prompt_too_long",
        "control_token", "changed_by_template", "no_system_turn",
    ]
)  # fmt: skip


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
    dropped_solutions: list[DroppedSolution] = field(default_factory=list)
    open_solutions: dict[str, tuple[Judged, ...]] = field(default_factory=dict)
    """Problem id -> its solutions, if `check_answers` has to compare their final answers with the reference answer."""
    last_questions: frozenset[str] = frozenset()
    """Ids of problems that are the last question of a conversation; a prompt holds nothing of the turns before it."""

    @property
    def num_rows(self) -> int:
        return len(self.problems) + len(self.rejected)

    @property
    def refused(self) -> list[RejectedRow | DroppedSolution]:
        """Rejected rows and dropped solutions, in the order of the rows."""
        return sorted([*self.rejected, *self.dropped_solutions], key=lambda refused: refused.row)

    @property
    def num_last_questions(self) -> int:
        return sum(problem.id in self.last_questions for problem in self.problems)

    def reasons(self) -> dict[RejectionReason, int]:
        """Reason -> number of rejected rows, the most frequent first."""
        return dict(Counter(rejected.reason for rejected in self.rejected).most_common())

    def solution_reasons(self) -> dict[SolutionFault, int]:
        """Reason -> number of dropped solutions, the most frequent first."""
        return dict(Counter(dropped.reason for dropped in self.dropped_solutions).most_common())

    def without(self, rejected: Iterable[RejectedRow]) -> "ProblemSet":
        """The set with these rows rejected, too."""
        rejected = list(rejected)
        ids = {row.id for row in rejected}
        return replace(
            self,
            problems=[problem for problem in self.problems if problem.id not in ids],
            rejected=sorted([*self.rejected, *rejected], key=lambda row: row.row),
        )

    def explain(self) -> str:
        """'671 problems; rejected rows: 3 unparsable_answer, 1 duplicate; dropped solutions: 2 marked_wrong'."""
        counts = ", ".join(f"{count} {reason}" for reason, count in self.reasons().items())
        dropped = ", ".join(f"{count} {reason}" for reason, count in self.solution_reasons().items())
        solutions = f"; dropped solutions: {dropped}" if dropped else ""
        cut = self.num_last_questions
        last = f"; without the turns before the last question: {cut}" if cut else ""
        return f"{len(self.problems)} problems; rejected rows: {counts or 'none'}{solutions}{last}"
