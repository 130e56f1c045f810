"""Assigns a problem and an arm to each group id of a run, by `problems.sampling=uniform`.

Arms alternate by smooth weighted round robin: any window of sum(weights) groups contains each arm exactly as often as
its weight. Each arm goes through its problems in an order that is shuffled in every epoch. Arms of the same bucket use
the same order, so the unguided and the guided group of a problem are close. The arm `guided` leaves out the problems
whose guidance is the empty prefix, because their guided prompt is the unguided one.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from broker.errors import UsageError
from broker.records import Assignment, Bucket, Problem

ARM_BUCKET: dict[str, Bucket] = {"unguided": "hard", "guided": "hard", "easy": "easy", "easier": "easier"}
"""Arm -> the bucket it draws problems from."""


def has_prefix(problem: Problem) -> bool:
    """Whether the guided prompt of the problem differs from the unguided one. True until its guidance is chosen."""
    return problem.guidance is None or bool(problem.guidance.strip())


def check_guided_arm(
    problems: Sequence[Problem], arms: Mapping[str, int], may_be_guided: Callable[[Problem], bool] = has_prefix
) -> None:
    """Raises UsageError if the arm `guided` has a weight above 0, but no hard problem may be guided."""
    hard = [problem for problem in problems if problem.bucket == "hard"]
    if arms.get("guided", 0) > 0 and hard and not any(map(may_be_guided, hard)):
        raise UsageError(
            f"problems.arms.guided={arms['guided']}, but none of the {len(hard)} hard problems has a prefix for its "
            "guidance: the first steps of the solutions show the answer or are too long; give solutions in more and "
            "shorter steps (pope oracle requests some), or set problems.arms.guided=0"
        )


class Mixture:
    """The assignment of group ids: a stateless, pure function of (problem ids, prefixes, weights, seed)."""

    def __init__(self, problems: Sequence[Problem], arms: Mapping[str, int], seed: int) -> None:
        weights = {arm: weight for arm, weight in arms.items() if weight > 0}
        if not weights:
            raise UsageError("problems.arms: no arm has a weight above 0; give at least one, such as unguided: 1")
        self._ids: dict[Bucket, tuple[str, ...]] = {}
        """Bucket -> its problem ids, in the order of the problems."""
        for arm in weights:
            if arm not in ARM_BUCKET:
                raise UsageError(f"problems.arms.{arm}: no such arm; the arms are {', '.join(ARM_BUCKET)}")
            bucket = ARM_BUCKET[arm]
            self._ids[bucket] = tuple(problem.id for problem in problems if problem.bucket == bucket)
            if not self._ids[bucket]:
                raise UsageError(
                    f"problems.arms.{arm}={weights[arm]}, but there is no {bucket} problem; add some or set it to 0"
                )
        check_guided_arm(problems, weights)
        self._without_prefix = frozenset(p.id for p in problems if p.bucket == "hard" and not has_prefix(p))
        self._cycle = weighted_round_robin(weights)
        self._weights = weights
        self._seed = seed

    def assignment(self, group_id: int) -> Assignment:
        """The problem and arm of a group; the same in every process and in any order of calls."""
        arm, draw = self.turn(group_id)
        return Assignment(group_id=group_id, problem_id=self._drawn(arm, draw), arm=arm)

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms that are drawn."""
        return tuple(self._weights)

    def turn(self, group_id: int) -> tuple[str, int]:
        """The arm of a group, and the number of the draw of that arm, from 0 on."""
        cycle, slot = divmod(group_id, len(self._cycle))
        arm = self._cycle[slot]
        return arm, cycle * self._weights[arm] + self._cycle[:slot].count(arm)

    def first_epoch(self, arm: str) -> tuple[str, ...]:
        """The ids of all problems of an arm, in the order in which its first epoch draws them."""
        ids, left_out = self._ids[ARM_BUCKET[arm]], self._left_out(arm)
        return tuple(ids[index] for index in self._order(arm, 0) if ids[index] not in left_out)

    def _drawn(self, arm: str, draw: int) -> str:
        """The id of the problem of the arm's group number `draw`, from 0."""
        ids, left_out = self._ids[ARM_BUCKET[arm]], self._left_out(arm)
        epoch, position = divmod(draw, len(ids) - len(left_out))
        order = self._order(arm, epoch)
        if not left_out:
            return ids[order[position]]
        return [ids[index] for index in order if ids[index] not in left_out][position]

    def _left_out(self, arm: str) -> frozenset[str]:
        return self._without_prefix if arm == "guided" else frozenset()

    def _order(self, arm: str, epoch: int) -> tuple[int, ...]:
        bucket = ARM_BUCKET[arm]
        return _shuffled(len(self._ids[bucket]), f"{self._seed}/{bucket}/{epoch}")


def weighted_round_robin(weights: Mapping[str, int]) -> tuple[str, ...]:
    """One cycle of sum(weights) turns with each arm as often as its weight, spread as evenly as possible.

    In every turn the credit of each arm grows by its weight; the arm with the highest credit (the first of equals) is
    chosen, and its credit is reduced by the sum of the weights. {"a": 2, "b": 1} -> a b a.
    """
    total = sum(weights.values())
    credit = dict.fromkeys(weights, 0)
    cycle = []
    for _ in range(total):
        for arm, weight in weights.items():
            credit[arm] += weight
        highest = max(credit, key=lambda arm: credit[arm])
        credit[highest] -= total
        cycle.append(highest)
    return tuple(cycle)


@lru_cache(maxsize=64)
def _shuffled(size: int, seed: str) -> tuple[int, ...]:
    """0..size-1 in a shuffled order."""
    order = list(range(size))
    random.Random(seed).shuffle(order)
    return tuple(order)
