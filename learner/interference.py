"""Who a step listens to: how buckets and arms share its advantage and its tokens, and whose reward moves. Pure.

Easy problems beside hard ones may take over the updates (ray interference, POPE section 3.2). A part is a bucket and an
arm, written `bucket/arm`.
"""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence

import numpy as np

from broker.records import TrainGroup, float32_array

TREND_STEPS = 16
"""Steps a reward change is taken over: the mean of a single step is of a few groups."""


def parts(groups: Sequence[TrainGroup]) -> dict[str, list[TrainGroup]]:
    """Part -> its groups, by name."""
    members = defaultdict(list)
    for group in groups:
        members[f"{group.rollout_group.bucket}/{group.rollout_group.arm}"].append(group)
    return dict(sorted(members.items()))


def advantage_shares(groups: Sequence[TrainGroup]) -> dict[str, float]:
    """Part -> its share of the step's absolute advantage; the shares sum to 1. Empty when every advantage is 0.

    The advantage of a part is the sum of |A_i| T_i over its trained rollouts, T_i completion tokens: the weight its
    tokens have in the token mean, before importance ratios. An oracle's solution counts with its group.
    """
    return _shares({name: sum(map(_advantage, members)) for name, members in parts(groups).items()})


def token_shares(groups: Sequence[TrainGroup]) -> dict[str, float]:
    """Part -> its share of the trained completion tokens; the shares sum to 1. Empty when there are none."""
    return _shares({name: sum(map(_tokens, members)) for name, members in parts(groups).items()})


def _shares(sizes: Mapping[str, float]) -> dict[str, float]:
    whole = sum(sizes.values())
    return {name: size / whole for name, size in sizes.items()} if whole else {}


def reward_means(groups: Sequence[TrainGroup]) -> dict[str, float]:
    """Part -> mean reward of its judged rollouts; parts without one are left out."""
    rewards = {
        name: [c.reward for group in members for c in group.rollout_group.policy_rollouts if c.reward is not None]
        for name, members in parts(groups).items()
    }
    return {name: float(np.mean(values)) for name, values in rewards.items() if values}


class RewardTrend:
    """How fast the reward of each part changes, over its newest `TREND_STEPS` steps.

    Only trained groups are seen, so of a part that is filtered mostly this says how its mixed groups move. A resumed
    learner begins anew at its checkpoint.
    """

    def __init__(self) -> None:
        self._points: dict[str, deque[tuple[int, float]]] = defaultdict(lambda: deque(maxlen=TREND_STEPS))

    def follow(self, step: int, means: Mapping[str, float]) -> dict[str, float]:
        """Part -> least-squares slope of its means, reward a step, of the parts in this step.

        A part has none before its second step.
        """
        changes = {}
        for name, mean in means.items():
            points = self._points[name]
            points.append((step, mean))
            if len(points) > 1:
                changes[name] = slope(points)
        return changes


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Least-squares slope of y over x; at least two different x."""
    x, y = np.asarray(points, dtype=np.float64).T
    x = x - x.mean()
    return float(x @ y / (x @ x))


def _advantage(group: TrainGroup) -> float:
    """Sum of |A_i| T_i; a rollout that is not trained has A = 0."""
    lengths = [rollout.num_tokens for rollout in group.rollout_group.rollouts]
    return float(np.abs(float32_array(group.advantages).astype(np.float64)) @ lengths)


def _tokens(group: TrainGroup) -> int:
    return sum(rollout.num_tokens for rollout in group.rollout_group.rollouts if rollout.reward is not None)
