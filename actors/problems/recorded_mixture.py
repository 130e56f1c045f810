"""Assigns a problem, an arm and its guidance to each group id of a run whose choices are recorded.

That is a run with `problems.sampling=adaptive` or a `guidance.length` that changes during training. The arm of a group
id is that of `Mixture`, a pure function of the settings. The rest is chosen when the first actor asks for it, from two
things that every actor reads in Redis: the choices made before, and the outcomes in the ledger. The choice is recorded
before the group is sampled. If two actors choose at once, one of them records its choices and the other reads them, so
that actors need no agreement beyond the list. A restarted actor reads the whole list; a group that is issued again has
its choice already.
"""

import threading
import time
from collections.abc import Callable, Collection, Sequence

from actors.problems.guidance_lengths import GuidanceLengths
from actors.problems.mixture import Mixture
from actors.problems.problem_order import Outcomes, ProblemOrder
from broker.assignments import Assignments, Choice, GroupResult
from broker.ledger import Ledger
from broker.records import Assignment

LEDGER_EVERY_S = 0.5
"""Shortest time between two reads of the ledger, seconds."""
LEDGER_SHARE = 0.05
"""Largest share of the time that reading the ledger takes; with many problems it is read less often."""


class RecordedMixture:
    """The assignments of one run, as one actor reads and extends them. May be used from several threads."""

    def __init__(
        self,
        mixture: Mixture,
        assignments: Assignments,
        ledger: Ledger,
        problems: ProblemOrder,
        lengths: GuidanceLengths | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`problems`, `lengths`: without any group yet. `lengths` None: guidance is a function of the problem."""
        self._mixture = mixture
        self._assignments = assignments
        self._ledger = ledger
        self._unused = problems, lengths
        self._uses_results = problems.uses_results or (lengths is not None and lengths.uses_results)
        self._clock = clock
        self._lock = threading.Lock()
        self._outcomes: Outcomes = {}
        self._ledger_due = 0.0
        self._forget()

    def assignment(self, group_id: int) -> Assignment:
        """What a group id stands for; chosen and recorded if no actor did so before."""
        with self._lock:
            choice = self._choice(group_id)
        arm, _ = self._mixture.turn(group_id)
        guidance = None
        if choice.guidance is not None:
            assert self._lengths is not None, "the settings of a run do not change"
            guidance = self._lengths.prefix(choice.problem_id, choice.guidance)
        return Assignment(
            group_id=group_id, problem_id=choice.problem_id, arm=arm, guidance=guidance, sampling_share=choice.share
        )

    def _choice(self, group_id: int) -> Choice:
        while True:
            outlook = self._assignments.look(group_id, start=max(0, len(self._problem_ids) - 1))
            if outlook.choice is not None:
                return outlook.choice
            if not self._follows(outlook.newer):
                self._forget()
                continue
            self._absorb(outlook.newer)
            if outlook.complete:
                choices = self._choose(group_id, outlook.unfinished)
                if self._assignments.append(len(self._problem_ids), choices):
                    return choices[-1]

    def _forget(self) -> None:
        """Starts to read the list from its beginning."""
        self._problem_ids: list[str] = []
        """By group id."""
        self._newest: Choice | None = None
        self._problems, self._lengths = _copies(*self._unused)

    def _follows(self, newer: Sequence[Choice]) -> bool:
        """Whether the list still has the newest known entry. It has not when the server lost its last second."""
        return self._newest is None or (bool(newer) and newer[0] == self._newest)

    def _absorb(self, newer: Sequence[Choice]) -> None:
        """Takes over recorded choices; the first is known already, unless none is."""
        for choice in newer if self._newest is None else newer[1:]:
            _record(self._problems, self._lengths, len(self._problem_ids), choice)
            self._problem_ids.append(choice.problem_id)
            self._newest = choice

    def _choose(self, group_id: int, unfinished: Collection[int]) -> list[Choice]:
        """The choices of all groups without one, up to `group_id`."""
        self._read_ledger()
        known = len(self._problem_ids)
        problems, lengths = _copies(self._problems, self._lengths)
        in_flight: dict[str, set[str]] = {arm: set() for arm in self._mixture.arms}
        for other_id in unfinished:
            if other_id < known:
                in_flight[self._mixture.turn(other_id)[0]].add(self._problem_ids[other_id])
        choices = []
        for new_id in range(known, group_id + 1):
            arm, _ = self._mixture.turn(new_id)
            problem_id, share = problems.choose(new_id, in_flight[arm])
            guidance = None
            if lengths is not None and arm == "guided":
                guidance = lengths.choose(new_id, problem_id, self._results(problem_id))
            choices.append(Choice(problem_id, share, guidance))
            _record(problems, lengths, new_id, choices[-1])
            in_flight[arm].add(problem_id)
        return choices

    def _results(self, problem_id: str) -> list[GroupResult]:
        """The newest known results of the guided groups of a problem."""
        outcomes = self._outcomes.get((problem_id, "guided"), ())
        return [GroupResult(o.group_id, o.successes, o.judged) for o in outcomes if o.group_id is not None]

    def _read_ledger(self) -> None:
        """Reads the newest outcomes, if they are used and a read is due."""
        began_s = self._clock()
        if not self._uses_results or began_s < self._ledger_due:
            return
        self._outcomes = self._ledger.newest_outcomes()
        self._problems.rate(self._outcomes)
        now_s = self._clock()
        self._ledger_due = now_s + max(LEDGER_EVERY_S, (now_s - began_s) / LEDGER_SHARE)


def _copies(problems: ProblemOrder, lengths: GuidanceLengths | None) -> tuple[ProblemOrder, GuidanceLengths | None]:
    return problems.copy(), None if lengths is None else lengths.copy()


def _record(problems: ProblemOrder, lengths: GuidanceLengths | None, group_id: int, choice: Choice) -> None:
    problems.record(group_id, choice.problem_id)
    if lengths is not None and choice.guidance is not None:
        lengths.record(group_id, choice.problem_id, choice.guidance)
