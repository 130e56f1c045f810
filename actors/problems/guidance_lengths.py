"""Chooses the guidance of guided groups by `guidance.length`, from what is recorded with the assignments.

A choice depends on the settings, the group id, and the recorded choices of the problem's earlier guided groups with the
results that they name. Who has the list of assignments can therefore repeat every choice, as `pope audit` does.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field

from actors.problems.guidance import Prefixes
from actors.problems.length_rules import ADAPTIVE, Trial, Turn, rule_of
from broker.assignments import GroupResult, GuidanceChoice
from broker.records import Problem
from conf.schema import GuidanceSettings


@dataclass(frozen=True)
class _Past:
    """The recorded guided groups of one problem."""

    issued: int = 0
    open: Mapping[int, float] = field(default_factory=dict)
    """Group id -> share of those whose result no choice has used."""
    trials: tuple[Trial, ...] = ()

    def with_results(self, results: Sequence[GroupResult]) -> "_Past":
        used = {result.group_id for result in results}
        trials = (*self.trials, *(Trial(self.open[result.group_id], result) for result in results))
        return _Past(self.issued, {id: share for id, share in self.open.items() if id not in used}, trials)


class GuidanceLengths:
    """The guided groups of one run so far, and the choice of the next."""

    def __init__(self, problems: Sequence[Problem], settings: GuidanceSettings, seed: int) -> None:
        """The guidance of a problem is the longest prefix that its groups may have (`longest_guidance.py`)."""
        rule = rule_of(settings)
        assert rule is not None, "guidance.length=shortest_useful chooses nothing during training"
        self._rule, self._settings, self._seed = rule, settings, seed
        self._problems = {problem.id: problem for problem in problems}
        self._prefixes: dict[str, Prefixes] = {}
        self._past: dict[str, _Past] = {}

    @property
    def uses_results(self) -> bool:
        """Whether choices depend on results of earlier groups."""
        return self._rule in ADAPTIVE.values()

    def copy(self) -> "GuidanceLengths":
        """An independent copy."""
        other = copy(self)
        other._past = dict(self._past)
        return other

    def choose(self, group_id: int, problem_id: str, results: Sequence[GroupResult]) -> GuidanceChoice:
        """The choice for a new group. `results`: of guided groups of the problem; those used before are left out."""
        past = self._past.get(problem_id, _Past())
        new = tuple(result for result in results if result.group_id in past.open) if self.uses_results else ()
        turn = Turn(group_id, past.issued, past.with_results(new).trials)
        share = round(self._rule(turn, self._settings, self._seed), 4)
        return GuidanceChoice(share, self._chars(problem_id, share), new)

    def record(self, group_id: int, problem_id: str, choice: GuidanceChoice) -> None:
        """Takes over a recorded choice."""
        past = self._past.get(problem_id, _Past()).with_results(choice.after)
        opened = {**past.open, group_id: choice.share} if self.uses_results else past.open
        self._past[problem_id] = _Past(past.issued + 1, opened, past.trials)

    def prefix(self, problem_id: str, choice: GuidanceChoice) -> str:
        """The guidance of a choice."""
        return (self._problems[problem_id].solution or "")[: choice.chars]

    def _chars(self, problem_id: str, share: float) -> int:
        problem = self._problems[problem_id]
        if problem_id not in self._prefixes:
            self._prefixes[problem_id] = Prefixes.of(problem)
        longest = None if problem.guidance is None else len(problem.guidance)
        return self._prefixes[problem_id].nearest(share, longest)
