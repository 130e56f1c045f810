"""What became of each problem, group by group: the heat map, the history behind a click, transfer. Pure."""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from broker.ledger import KEPT_OUTCOMES, LedgerRow, Outcome
from deploy.statistics.transfer import Transfer, transfer


class GroupRow(msgspec.Struct, frozen=True):
    """One group of a problem that ended preprocessing."""

    step: int
    """Newest policy version then."""
    arm: str
    successes: int
    judged: int
    rollouts: int
    outcome: str
    """`kept`, or the filter's reason."""
    group_id: int
    tokens: int
    """Rollout tokens of all its rollouts."""
    cut: int
    """Rollouts the token budget cut."""


Cell = tuple[int, int, int, int, int]
"""(problem, arm, step, successes, judged): one group on the heat map; the first two are indices."""


@dataclass
class _Tally:
    """A problem under one arm, as a row of the ledger counts it."""

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


class Problems:
    """Problems and arms get indices in the order they first appear, so that a reader can be sent only what is new."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.buckets: list[str] = []
        self.arms: list[str] = []
        self.cells: list[Cell] = []
        self._index: dict[str, int] = {}
        self._history: defaultdict[str, list[GroupRow]] = defaultdict(list)
        self._tallies: defaultdict[tuple[str, str], _Tally] = defaultdict(_Tally)
        self._transfer: tuple[int, Transfer | None] = (0, None)

    def add(self, reports: Iterable[Mapping[str, str]]) -> None:
        """Groups that ended preprocessing, oldest first."""
        for report in reports:
            row = _group_row(report)
            problem = self._problem(report["problem_id"], report["bucket"])
            self.cells.append((problem, self._arm(row.arm), row.step, row.successes, row.judged))
            self._history[report["problem_id"]].append(row)
            self._tallies[report["problem_id"], row.arm].add(row)

    def history(self, problem_id: str) -> list[GroupRow]:
        """Its groups, oldest first; empty for a problem nobody has seen."""
        return list(self._history.get(problem_id, ()))

    def num_hard(self) -> int:
        """Hard problems that were seen so far."""
        return self.buckets.count("hard")

    def transfer(self) -> Transfer | None:
        """What guidance carried over so far; None while no guided group has ended."""
        if self._transfer[0] != len(self.cells):
            self._transfer = len(self.cells), transfer(self._ledger())
        return self._transfer[1]

    def _ledger(self) -> list[LedgerRow]:
        """The rows `broker/ledger.py` would read, from the same groups."""
        return [
            LedgerRow(problem_id, arm, tally.attempts, tally.successes, tally.first_solve_step, tuple(tally.last))
            for (problem_id, arm), tally in self._tallies.items()
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


def _group_row(report: Mapping[str, str]) -> GroupRow:
    return GroupRow(
        step=int(report["step"]),
        arm=report["arm"],
        successes=int(report["successes"]),
        judged=int(report["judged"]),
        rollouts=int(report["rollouts"]),
        outcome=report["outcome"],
        group_id=int(report["ordinal"]),
        tokens=int(report["completion_tokens"]),
        cut=int(report["cut_off"]),
    )
