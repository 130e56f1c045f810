"""Assigns a problem and an arm to each group id of a run.

Arms alternate by smooth weighted round robin: any window of sum(weights) groups contains each arm exactly as often as
its weight. Each arm goes through its problems in an order that is shuffled in every epoch. Arms of the same bucket use
the same order, so the unguided and the guided group of a problem are close.
"""

import random
from collections.abc import Mapping, Sequence
from functools import lru_cache

from broker.errors import UsageError
from broker.records import Assignment, Bucket, Problem

ARM_BUCKET: dict[str, Bucket] = {"unguided": "hard", "guided": "hard", "easy": "easy", "easier": "easier"}
"""Arm -> the bucket it draws problems from."""


class Mixture:
    """The assignment of group ids: a stateless, pure function of (problem ids, weights, seed)."""

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
        self._cycle = weighted_round_robin(weights)
        self._weights = weights
        self._seed = seed

    def assignment(self, group_id: int) -> Assignment:
        """The problem and arm of a group; the same in every process and in any order of calls."""
        cycle, slot = divmod(group_id, len(self._cycle))
        arm = self._cycle[slot]
        draw = cycle * self._weights[arm] + self._cycle[:slot].count(arm)
        bucket = ARM_BUCKET[arm]
        ids = self._ids[bucket]
        epoch, position = divmod(draw, len(ids))
        problem_id = ids[_shuffled(len(ids), f"{self._seed}/{bucket}/{epoch}")[position]]
        return Assignment(group_id=group_id, problem_id=problem_id, arm=arm)


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
