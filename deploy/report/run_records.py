"""The records of one run that the report is made from. `run_reader.py` reads them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from actors.evaluation.results import Result
from broker.balance import Balance
from broker.ledger import LedgerRow
from broker.records import Problem
from broker.reports import ActorOutput, GroupEnd, LearnerStep, RoleTimes, WeightSync
from conf.schema import RunConfig


class RolloutOutcomes(msgspec.Struct, frozen=True):
    """Rollouts of one bucket, arm and decile of length by outcome: a row of starvation.json."""

    bucket: str
    arm: str
    length_decile: int | None
    """1 (shortest) to 10; None: never written."""
    ended: dict[str, int]
    """Outcome of their group -> rollouts."""
    rollouts: int
    truncated: int = 0
    """Counted in addition to the outcomes, as are verifier failures."""
    verifier_failure: int = 0
    tokens: tuple[int, int] | None = None
    """(shortest, longest) rollout of the decile in its run, to two significant digits."""


@dataclass(frozen=True)
class RunRecords:
    """One run at one moment. A record that is absent is empty, and `missing` names it."""

    path: Path
    config: RunConfig
    over: bool = True
    """Whether the run had finished when it was read."""
    problems: Sequence[Problem] = ()
    groups: Sequence[GroupEnd] = ()
    """In the order they were preprocessed."""
    learner: Sequence[LearnerStep] = ()
    """One per step."""
    outputs: Sequence[ActorOutput] = ()
    syncs: Sequence[WeightSync] = ()
    times: Sequence[RoleTimes] = ()
    preprocess_s: Sequence[float] = ()
    """Unix seconds of the preprocessors' reports, which they send every second while the run is working."""
    ledger: Sequence[LedgerRow] = ()
    measured: Mapping[str, Mapping[str, Sequence[Result]]] = field(default_factory=dict)
    """When (before, sft, after, held_out, ...) -> arm -> one result per problem."""
    evaluations: Mapping[int, Sequence[Result]] = field(default_factory=dict)
    """Optimizer step -> one result per hard problem."""
    balance: Balance | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)
    rollout_outcomes: Sequence[RolloutOutcomes] = ()
    missing: Sequence[str] = ()
    """Records that are absent, and what the report therefore lacks: one sentence each."""

    @property
    def seed(self) -> int:
        return self.config.run.seed

    @property
    def steps(self) -> int:
        """The last recorded optimizer step."""
        return max((report.step for report in self.learner), default=0)

    @property
    def rollouts(self) -> int:
        """Training rollouts that ended preprocessing."""
        return sum(group.rollouts for group in self.groups)

    @property
    def hard(self) -> frozenset[str]:
        """Ids of the hard problems: those saved, otherwise those that were sampled."""
        if self.problems:
            return frozenset(problem.id for problem in self.problems if problem.bucket == "hard")
        return frozenset(group.problem_id for group in self.groups if group.bucket == "hard")
