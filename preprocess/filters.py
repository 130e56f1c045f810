"""Which groups are not worth training, and why. Pure."""

from collections.abc import Sequence

NO_REWARD = "no_reward"
ZERO_ADVANTAGE = "zero_advantage"


def drop_reason(rewards: Sequence[float | None], *, drop_zero_advantage: bool) -> str | None:
    """The reason to drop a group, or None to keep it.

    `no_reward`: fewer than two rollouts have a reward, so there is nothing to compare.
    `zero_advantage`: all rewards are equal, so every advantage and the gradient are exactly zero.
    """
    known = [reward for reward in rewards if reward is not None]
    if len(known) < 2:
        return NO_REWARD
    if drop_zero_advantage and min(known) == max(known):
        return ZERO_ADVANTAGE
    return None
