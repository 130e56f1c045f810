"""What one run left behind, in one value. `reading.py` fills it; the rest of the report only looks at it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from actors.evaluation.results import Result
from broker.balance import Balance
from broker.ledger import LedgerRow
from broker.records import Problem
from conf.schema import RunConfig

News = dict[str, str]
"""One report of a room, as `broker/metrics.py` gives it back."""


class Group(msgspec.Struct, frozen=True):
    """One group that ended preprocessing, as `preprocess/report_sums.py` reported it."""

    problem_id: str
    arm: str
    bucket: str
    step: int
    """Newest policy version when it was preprocessed."""
    rollouts: int
    judged: int
    reward_sum: float
    successes: int


class Ending(msgspec.Struct, frozen=True):
    """How the rollouts of one bucket, arm and decile of length ended: a row of starvation.json."""

    bucket: str
    arm: str
    length_decile: int | None
    """Ascending with the length; None: never written."""
    ended: dict[str, int]
    """Way of ending -> rollouts; a rollout ends as its group does."""
    rollouts: int
    truncated: int = 0
    """Counted beside the ends, as are verifier failures."""
    verifier_failure: int = 0
    tokens: tuple[int, int] | None = None
    """(shortest, longest) rollout of the decile in its run, to two significant digits."""


@dataclass(frozen=True)
class RunRecords:
    """One run at one moment. What is absent is empty, and `missing` says so."""

    path: Path
    config: RunConfig
    over: bool = True
    """Whether the run had ended when it was read."""
    problems: Sequence[Problem] = ()
    groups: Sequence[Group] = ()
    """In the order they were preprocessed."""
    learner: Sequence[News] = ()
    """One a step."""
    actors: Sequence[News] = ()
    signs_of_life: Sequence[float] = ()
    """Unix s of the reports of the preprocessors, which come every second while the run is at work."""
    ledger: Sequence[LedgerRow] = ()
    measured: Mapping[str, Mapping[str, Sequence[Result]]] = field(default_factory=dict)
    """When (before, sft, after, held_out, ...) -> arm -> one result a problem."""
    evaluations: Mapping[int, Sequence[Result]] = field(default_factory=dict)
    """Optimizer step -> one result a hard problem."""
    balance: Balance | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)
    endings: Sequence[Ending] = ()
    missing: Sequence[str] = ()
    """What is not there, and what the report lacks for it: one sentence each."""

    @property
    def seed(self) -> int:
        return self.config.run.seed

    @property
    def steps(self) -> int:
        """Optimizer steps of which there is a record."""
        return max((int(news["step"]) for news in self.learner), default=0)

    @property
    def rollouts(self) -> int:
        """Training rollouts that ended preprocessing."""
        return sum(group.rollouts for group in self.groups)

    @property
    def hard(self) -> frozenset[str]:
        """Ids of the hard problems: those saved, else those that were drawn."""
        if self.problems:
            return frozenset(problem.id for problem in self.problems if problem.bucket == "hard")
        return frozenset(group.problem_id for group in self.groups if group.bucket == "hard")
