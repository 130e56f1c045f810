"""Shares of a step's parts in its advantage and its tokens, and the rate of change of their rewards. Pure.

A part is a bucket and an arm, written `bucket/arm`. Easy problems in the mix may dominate the updates (ray
interference, POPE section 3.2).
"""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence

import numpy as np

from broker.records import TrainGroup, float32_array

TREND_STEPS = 16
"""Number of steps a reward change is fitted to; the mean of one step covers only a few groups."""


def parts(groups: Sequence[TrainGroup]) -> dict[str, list[TrainGroup]]:
    """Part -> its groups, by name."""
    found = defaultdict(list)
    for group in groups:
        found[f"{group.rollout_group.bucket}/{group.rollout_group.arm}"].append(group)
    return dict(sorted(found.items()))


def advantage_shares(groups: Sequence[TrainGroup]) -> dict[str, float]:
    """Part -> its share of the step's absolute advantage; the shares sum to 1. Empty when every advantage is 0.

    The advantage of a part is the sum of |A_i| T_i over its trained rollouts of T_i tokens: the weight of its tokens in
    the token mean, before importance ratios. An oracle solution counts with its group.
    """
    return _shares({name: sum(map(_advantage, of_part)) for name, of_part in parts(groups).items()})


def token_shares(groups: Sequence[TrainGroup]) -> dict[str, float]:
    """Part -> its share of the trained completion tokens; the shares sum to 1. Empty when there are none."""
    return _shares({name: sum(map(_tokens, of_part)) for name, of_part in parts(groups).items()})


def _shares(sizes: Mapping[str, float]) -> dict[str, float]:
    total = sum(sizes.values())
    return {name: size / total for name, size in sizes.items()} if total else {}


def reward_means(groups: Sequence[TrainGroup]) -> dict[str, float]:
    """Part -> mean reward of its judged rollouts; parts without a judged rollout are left out."""
    rewards = {
        name: [r.reward for group in of_part for r in group.rollout_group.policy_rollouts if r.reward is not None]
        for name, of_part in parts(groups).items()
    }
    return {name: float(np.mean(values)) for name, values in rewards.items() if values}


class RewardTrend:
    """Rate of change of the mean reward of each part over its newest `TREND_STEPS` steps.

    Only trained groups count: if most groups of a part are filtered, these are the few with both successes and
    failures. After a resume the history is empty.
    """

    def __init__(self) -> None:
        self._points: dict[str, deque[tuple[int, float]]] = defaultdict(lambda: deque(maxlen=TREND_STEPS))

    def update(self, step: int, means: Mapping[str, float]) -> dict[str, float]:
        """Part -> least-squares slope of its means, reward per step, for the parts in this step.

        A part has no slope before its second step.
        """
        changes = {}
        for name, mean in means.items():
            points = self._points[name]
            points.append((step, mean))
            if len(points) > 1:
                changes[name] = slope(points)
        return changes


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Least-squares slope of the points (x, y); at least two x differ."""
    x, y = np.asarray(points, dtype=np.float64).T
    x = x - x.mean()
    return float(x @ y / (x @ x))


def _advantage(group: TrainGroup) -> float:
    """Sum of |A_i| T_i; A_i = 0 for a rollout that is not trained."""
    lengths = [rollout.num_tokens for rollout in group.rollout_group.rollouts]
    return float(np.abs(float32_array(group.advantages).astype(np.float64)) @ lengths)


def _tokens(group: TrainGroup) -> int:
    return sum(rollout.num_tokens for rollout in group.rollout_group.rollouts if rollout.reward is not None)
