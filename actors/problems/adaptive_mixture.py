"""Assigns a problem and an arm to each group id of a run, by `problems.sampling=adaptive`.

The arm of a group id is that of `Mixture`, a pure function of the settings. Its problem is chosen by `AdaptiveOrder`
when the first actor asks for it, from two things that every actor reads in Redis: the problems chosen before, and the
outcomes in the ledger. The choice is recorded before the group is sampled. If two actors choose at once, one of them
records its choices and the other reads them, so that actors need no agreement beyond the list. A restarted actor reads
the whole list; a group that is issued again has its problem already.
"""

import threading
import time
from collections.abc import Callable, Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from actors.problems.adaptive_order import AdaptiveOrder, sampling_weights
from actors.problems.mixture import Mixture
from actors.problems.solve_rates import gradient_chances
from broker.assignments import Assignments, Choice
from broker.errors import BrokerError
from broker.ledger import Ledger
from broker.records import Assignment
from conf.schema import ProblemSettings

LEDGER_EVERY_S = 0.5
"""Shortest time between two reads of the ledger, seconds."""
LEDGER_SHARE = 0.05
"""Largest share of the time that reading the ledger takes; with many problems it is read less often."""


class AdaptiveMixture:
    """The assignments of one run, as one actor reads and extends them. May be used from several threads."""

    def __init__(
        self,
        mixture: Mixture,
        assignments: Assignments,
        ledger: Ledger,
        settings: ProblemSettings,
        *,
        group_size: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mixture = mixture
        self._assignments = assignments
        self._ledger = ledger
        self._settings = settings
        self._group_size = group_size
        self._clock = clock
        self._lock = threading.Lock()
        self._ids = {arm: mixture.first_epoch(arm) for arm in mixture.arms}
        self._indices = {arm: {id: index for index, id in enumerate(ids)} for arm, ids in self._ids.items()}
        self._weights: dict[str, NDArray[np.float64]] = {}
        self._ledger_due = 0.0
        self._forget()

    def assignment(self, group_id: int) -> Assignment:
        """The problem and arm of a group; chosen and recorded if no actor did so before."""
        with self._lock:
            choice = self._choice(group_id)
        arm, _ = self._mixture.turn(group_id)
        return Assignment(group_id=group_id, problem_id=choice.problem_id, arm=arm, sampling_share=choice.share)

    def _choice(self, group_id: int) -> Choice:
        while True:
            outlook = self._assignments.look(group_id, start=max(0, len(self._chosen) - 1))
            if outlook.choice is not None:
                return outlook.choice
            if not self._follows(outlook.newer):
                self._forget()
                continue
            self._absorb(outlook.newer)
            if outlook.complete:
                choices = self._choose(group_id, outlook.unfinished)
                if self._assignments.append(len(self._chosen), choices):
                    return choices[-1]

    def _forget(self) -> None:
        """Starts to read the list from its beginning."""
        self._chosen: list[int] = []
        """Group id -> index of its problem within its arm."""
        self._newest: Choice | None = None
        self._orders = {arm: AdaptiveOrder(len(ids)) for arm, ids in self._ids.items()}

    def _follows(self, newer: Sequence[Choice]) -> bool:
        """Whether the list still has the newest known entry. It has not when the server lost its last second."""
        return self._newest is None or (bool(newer) and newer[0] == self._newest)

    def _absorb(self, newer: Sequence[Choice]) -> None:
        """Takes over recorded choices; the first is known already, unless none is."""
        for choice in newer if self._newest is None else newer[1:]:
            arm, draw = self._mixture.turn(len(self._chosen))
            index = self._indices[arm].get(choice.problem_id)
            if index is None:
                raise BrokerError(
                    f"group {len(self._chosen)} is assigned to {choice.problem_id}, which is no problem of {arm}"
                )
            self._orders[arm].record(draw, index)
            self._chosen.append(index)
            self._newest = choice

    def _choose(self, group_id: int, unfinished: Collection[int]) -> list[Choice]:
        """The choices of all groups without one, up to `group_id`."""
        self._read_ledger()
        known = len(self._chosen)
        orders = {arm: order.copy() for arm, order in self._orders.items()}
        in_flight: dict[str, set[int]] = {arm: set() for arm in self._ids}
        for other_id in unfinished:
            if other_id < known:
                in_flight[self._mixture.turn(other_id)[0]].add(self._chosen[other_id])
        choices = []
        for new_id in range(known, group_id + 1):
            arm, draw = self._mixture.turn(new_id)
            order = orders[arm]
            index = order.choose(draw, self._weights[arm], self._settings.sampling_floor, in_flight[arm])
            choices.append(Choice(self._ids[arm][index], round(order.share(draw, index), 6)))
            order.record(draw, index)
            in_flight[arm].add(index)
        return choices

    def _read_ledger(self) -> None:
        """Computes the weights from the ledger, if a read is due."""
        began_s = self._clock()
        if began_s < self._ledger_due:
            return
        newest, settings = self._ledger.newest_outcomes(), self._settings
        step = max((outcomes[-1].step for outcomes in newest.values()), default=0)
        for arm, ids in self._ids.items():
            chances = gradient_chances(
                [newest.get((id, arm), ()) for id in ids],
                step=step,
                group_size=self._group_size,
                memory_steps=settings.sampling_memory_steps,
            )
            self._weights[arm] = sampling_weights(chances, settings.sampling_floor, settings.sampling_focus)
        now_s = self._clock()
        self._ledger_due = now_s + max(LEDGER_EVERY_S, (now_s - began_s) / LEDGER_SHARE)
