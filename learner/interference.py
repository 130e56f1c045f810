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


def shares(groups: Sequence[TrainGroup]) -> dict[str, float]:
    """`share/advantage/PART` and `share/tokens/PART`, of the parts in this step; each family sums to 1.

    The advantage of a part is the sum of |A_i| T_i over its trained rollouts, T_i completion tokens: the weight its
    tokens have in the token mean, before importance ratios. An oracle's solution counts with its group. A family that
    sums to 0 is left out.
    """
    found: dict[str, float] = {}
    members = parts(groups)
    for family, size in (("advantage", _advantage), ("tokens", _tokens)):
        sizes = {name: sum(map(size, of_part)) for name, of_part in members.items()}
        if whole := sum(sizes.values()):
            found |= {f"share/{family}/{name}": size / whole for name, size in sizes.items()}
    return found


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
        """`reward/change/PART` of the parts in this step: least-squares slope of the means, reward a step.

        A part has none before its second step.
        """
        changes = {}
        for name, mean in means.items():
            points = self._points[name]
            points.append((step, mean))
            if len(points) > 1:
                changes[f"reward/change/{name}"] = slope(points)
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
