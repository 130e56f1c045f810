"""The groups of each problem: the heat map, the history of one problem, and transfer. Pure."""

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from broker.ledger import KEPT_OUTCOMES, LedgerRow, Outcome
from broker.reports import GroupEnd
from deploy.statistics.transfer import GUIDED, RECENT_GROUPS, UNGUIDED, Transfer, transfer


class GroupRow(msgspec.Struct, frozen=True):
    """One group of a problem that ended preprocessing."""

    step: int
    """Newest policy version when it ended."""
    arm: str
    successes: int
    judged: int
    rollouts: int
    outcome: str
    """`kept`, or the filter's reason."""
    group_id: int
    tokens: int
    """Completion tokens of all its rollouts."""
    cut: int
    """Rollouts truncated by the token budget."""


Cell = tuple[int, int, int, int, int]
"""(problem, arm, step, successes, judged): one group on the heat map; the first two are indices."""


@dataclass
class _Counts:
    """One problem under one arm, counted as in a row of the ledger."""

    attempts: int = 0
    successes: int = 0
    first_solve_step: int | None = None
    last: deque[Outcome] = field(default_factory=lambda: deque(maxlen=KEPT_OUTCOMES))

    def add(self, row: GroupRow) -> None:
        self.attempts += row.judged
        self.successes += row.successes
        if row.successes and self.first_solve_step is None:
            self.first_solve_step = row.step
        if row.judged:
            self.last.append(Outcome(row.step, row.successes, row.judged))


class ProblemHistory:
    """Problems and arms get indices in the order they first appear, so that only new ones need to be sent."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.buckets: list[str] = []
        self.arms: list[str] = []
        self.cells: list[Cell] = []
        self._index: dict[str, int] = {}
        self._history: defaultdict[str, list[GroupRow]] = defaultdict(list)
        self._counts: defaultdict[tuple[str, str], _Counts] = defaultdict(_Counts)
        self._transfer: tuple[int, Transfer | None] = (0, None)

    def add(self, groups: Iterable[GroupEnd]) -> None:
        """Groups that ended preprocessing, oldest first."""
        for group in groups:
            row = _group_row(group)
            problem = self._problem(group.problem_id, group.bucket)
            self.cells.append((problem, self._arm(row.arm), row.step, row.successes, row.judged))
            self._history[group.problem_id].append(row)
            self._counts[group.problem_id, row.arm].add(row)

    def history(self, problem_id: str) -> list[GroupRow]:
        """Its groups, oldest first; empty for an unknown problem."""
        return list(self._history.get(problem_id, ()))

    def num_hard(self) -> int:
        """Hard problems that had a group so far."""
        return self.buckets.count("hard")

    def transfer(self) -> Transfer | None:
        """Transfer so far; None before the first guided group."""
        if self._transfer[0] != len(self.cells):
            self._transfer = len(self.cells), transfer(self._ledger())
        return self._transfer[1]

    def tested(self) -> tuple[int, int]:
        """Of the problems that were first solved with guidance: those that were since solved without it or tried in
        `RECENT_GROUPS` groups, and the part that was solved."""
        if (found := self.transfer()) is None:
            return 0, 0
        solved = set(found.then_unguided)
        return sum(problem in solved or self._tried(problem) for problem in found.guided_first), len(solved)

    def _tried(self, problem_id: str) -> bool:
        """Whether it had enough unguided groups since its first guided solve."""
        since = self._counts[problem_id, GUIDED].first_solve_step or 0
        later = [row for row in self._history[problem_id] if row.arm == UNGUIDED and row.judged and row.step > since]
        return len(later) >= RECENT_GROUPS

    def _ledger(self) -> list[LedgerRow]:
        """The rows that `broker/ledger.py` would read of the same groups."""
        return [
            LedgerRow(problem_id, arm, counts.attempts, counts.successes, counts.first_solve_step, tuple(counts.last))
            for (problem_id, arm), counts in self._counts.items()
        ]

    def _problem(self, problem_id: str, bucket: str) -> int:
        if problem_id not in self._index:
            self._index[problem_id] = len(self.ids)
            self.ids.append(problem_id)
            self.buckets.append(bucket)
        return self._index[problem_id]

    def _arm(self, arm: str) -> int:
        if arm not in self.arms:
            self.arms.append(arm)
        return self.arms.index(arm)


def _group_row(group: GroupEnd) -> GroupRow:
    return GroupRow(
        step=group.step,
        arm=group.arm,
        successes=group.successes,
        judged=group.judged,
        rollouts=group.rollouts,
        outcome=group.outcome,
        group_id=group.group_id,
        tokens=group.completion_tokens,
        cut=group.truncated,
    )
