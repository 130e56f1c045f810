"""The problems of the groups of a run whose choices are recorded, by `problems.sampling`."""

from collections.abc import Mapping, Set
from copy import copy
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from actors.problems.adaptive_order import AdaptiveOrder, sampling_weights
from actors.problems.mixture import Mixture
from actors.problems.solve_rates import gradient_chances
from broker.errors import BrokerError
from broker.ledger import Outcome
from conf.schema import ProblemSettings

Outcomes = Mapping[tuple[str, str], tuple[Outcome, ...]]
"""(problem, arm) -> outcomes, as `Ledger.newest_outcomes`."""


class ProblemOrder(Protocol):
    """Which problem each group has, given those of the groups before."""

    uses_results: bool
    """Whether choices depend on results of earlier groups."""

    def copy(self) -> "ProblemOrder":
        """An independent copy, which has the same rates."""
        ...

    def rate(self, outcomes: Outcomes) -> None:
        """Takes over the newest outcomes, for all copies."""
        ...

    def choose(self, group_id: int, in_flight: Set[str]) -> tuple[str, float]:
        """(problem id, sampling share) of the next group. `in_flight`: problems of its arm with unfinished groups."""
        ...

    def record(self, group_id: int, problem_id: str) -> None:
        """Takes over the problem of the next group. Raises BrokerError for one that the arm does not have."""
        ...


class UniformProblems:
    """Every problem once an epoch: what `Mixture` assigns."""

    uses_results = False

    def __init__(self, mixture: Mixture) -> None:
        self._mixture = mixture

    def copy(self) -> "UniformProblems":
        return self

    def rate(self, outcomes: Outcomes) -> None:
        pass

    def choose(self, group_id: int, in_flight: Set[str]) -> tuple[str, float]:
        return self._mixture.assignment(group_id).problem_id, 1.0

    def record(self, group_id: int, problem_id: str) -> None:
        if problem_id != (own := self._mixture.assignment(group_id).problem_id):
            raise BrokerError(f"group {group_id} is assigned to {problem_id}, which is no problem of its turn ({own})")


class AdaptiveProblems:
    """Problems whose groups are likely to have a gradient more often (`adaptive_order.py`)."""

    uses_results = True

    def __init__(self, mixture: Mixture, settings: ProblemSettings, *, group_size: int) -> None:
        self._mixture, self._settings, self._group_size = mixture, settings, group_size
        self._ids = {arm: mixture.first_epoch(arm) for arm in mixture.arms}
        self._indices = {arm: {id: index for index, id in enumerate(ids)} for arm, ids in self._ids.items()}
        self._orders = {arm: AdaptiveOrder(len(ids)) for arm, ids in self._ids.items()}
        self._weights: dict[str, NDArray[np.float64]] = {}

    def copy(self) -> "AdaptiveProblems":
        other = copy(self)
        other._orders = {arm: order.copy() for arm, order in self._orders.items()}
        return other

    def rate(self, outcomes: Outcomes) -> None:
        settings = self._settings
        step = max((of_problem[-1].step for of_problem in outcomes.values()), default=0)
        for arm, ids in self._ids.items():
            chances = gradient_chances(
                [outcomes.get((id, arm), ()) for id in ids],
                step=step,
                group_size=self._group_size,
                memory_steps=settings.sampling_memory_steps,
            )
            self._weights[arm] = sampling_weights(chances, settings.sampling_floor, settings.sampling_focus)

    def choose(self, group_id: int, in_flight: Set[str]) -> tuple[str, float]:
        arm, draw = self._mixture.turn(group_id)
        order, indices = self._orders[arm], self._indices[arm]
        flying = {indices[problem_id] for problem_id in in_flight}
        index = order.choose(draw, self._weights[arm], self._settings.sampling_floor, flying)
        return self._ids[arm][index], round(order.share(draw, index), 6)

    def record(self, group_id: int, problem_id: str) -> None:
        arm, draw = self._mixture.turn(group_id)
        index = self._indices[arm].get(problem_id)
        if index is None:
            raise BrokerError(f"group {group_id} is assigned to {problem_id}, which is no problem of {arm}")
        self._orders[arm].record(draw, index)
