"""Filters that drop groups before training. Pure."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from conf.schema import PreprocessSettings
from preprocess.advantages import min_judged

NO_REWARD = "no_reward"
ZERO_ADVANTAGE = "zero_advantage"


def drop_reason(
    rewards: Sequence[float | None], advantages: NDArray[np.float32], settings: PreprocessSettings
) -> str | None:
    """The reason to drop a group, or None to keep it.

    `no_reward`: too few rollouts have a reward (`min_judged`).
    `zero_advantage`: all advantages, and therefore the policy gradient, are exactly zero.
    """
    if sum(reward is not None for reward in rewards) < min_judged(settings):
        return NO_REWARD
    if settings.drop_zero_advantage and not advantages.any():
        return ZERO_ADVANTAGE
    return None
