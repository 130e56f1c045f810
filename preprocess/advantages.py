"""Group advantages: the reward of each rollout relative to its group. Pure.

With r_1 ... r_n the rewards of the judged rollouts of one prompt, m their mean and c the number of correct ones:

    mean           r_i - m                            POPE section 2; Dr. GRPO (arXiv 2503.20783)
    std            (r_i - m) / (s + eps)              GRPO (arXiv 2402.03300) section 4.1.2; s as in verl, over n - 1
    leave_one_out  r_i - mean of the others           RLOO (arXiv 2402.14740); n / (n - 1) times `mean`
    maxrl          (r_i - m) / m, 0 when m = 0        MaxRL (arXiv 2602.02710): divided by the success rate
    pass_at_k      w_i - mean(w): standard RL with    POPE appendix B, eq. 7
                   the reward w_i = k/n if correct,
                   else k/n rho(n - 1, c, k - 1)

A rollout whose verifier failed has no reward (None): it is left out of the mean and gets advantage 0.
`preprocess.advantage` may also name a function of the user, an `AdvantageFunction`.
"""

from collections.abc import Callable, Sequence
from math import comb
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from broker.errors import PluginFailed
from conf.plugins import load, told
from conf.schema import PreprocessSettings

STD_EPS = 1e-6

Rewards = Sequence[float | None]
Array = NDArray[np.float64]


class AdvantageFunction(Protocol):
    """`preprocess.advantage=package.module:Name`, called once for every group with two or more judged rollouts."""

    def __call__(self, rewards: Array) -> ArrayLike:
        """rewards float64[n]: of the judged rollouts of one group, after the length penalty. Returns n finite numbers:
        the factor of grad log pi of each rollout. Groups in which all are 0 are dropped by default."""


def group_advantages(rewards: Rewards, settings: PreprocessSettings) -> NDArray[np.float32]:
    """float32[G], by `preprocess.advantage`; all zero when fewer than `min_judged` rollouts have a reward.

    Under `mean`: [1.0, 0.0, None, 0.0, 0.0] -> [0.75, -0.25, 0, -0.25, -0.25].
    """
    advantages = np.zeros(len(rewards), dtype=np.float32)
    judged = np.asarray([reward is not None for reward in rewards])
    values = np.asarray([reward for reward in rewards if reward is not None], dtype=np.float64)
    if len(values) >= min_judged(settings):
        advantages[judged] = _of_group(values, settings)
    return advantages


def _of_group(rewards: Array, settings: PreprocessSettings) -> ArrayLike:
    """[n], of the judged rollouts. Raises PluginFailed."""
    name = settings.advantage
    if name in ADVANTAGES:
        return ADVANTAGES[name](rewards, settings)
    function: AdvantageFunction = load("preprocess.advantage", name)
    try:
        advantages = np.asarray(function(rewards.copy()), dtype=np.float64)
    except Exception as error:  # the user's code may raise anything
        raise PluginFailed(f"preprocess.advantage={name} failed on {rewards.tolist()}: {told(error)}") from error
    if advantages.shape != rewards.shape or not np.isfinite(advantages).all():
        raise PluginFailed(
            f"preprocess.advantage={name} returned {advantages.tolist()!s:.200} for rewards {rewards.tolist()}; return "
            f"{len(rewards)} finite numbers, one for each reward"
        )
    return advantages


def min_judged(settings: PreprocessSettings) -> int:
    """Number of rollouts that must have a reward: 2 for a baseline, k to estimate pass@k."""
    return max(2, settings.pass_k) if settings.advantage == "pass_at_k" else 2


def mean(rewards: Array) -> Array:
    """r_i - mean(r). Exactly zero for equal rewards, even when their mean is rounded."""
    if rewards.min() == rewards.max():
        return np.zeros_like(rewards)
    return np.asarray(rewards - rewards.mean())


def std(rewards: Array) -> Array:
    return mean(rewards) / (float(rewards.std(ddof=1)) + STD_EPS)


def leave_one_out(rewards: Array) -> Array:
    return mean(rewards) * len(rewards) / (len(rewards) - 1)


def maxrl(rewards: Array) -> Array:
    """The gradient of log(success rate) instead of the rate: rare successes get more weight. Rewards are 0 or 1."""
    rate = rewards.mean()
    return mean(rewards) / rate if rate > 0 else np.zeros_like(rewards)


def pass_at_k_weights(rewards: Array, k: int) -> Array:
    """Eq. 7: the weight of each rollout's grad log pi in the unbiased gradient of pass@k. Rewards are 0 or 1.

    It is the share of all k-subsets that contain rollout i and a correct one. 1 <= k <= n.
    """
    n, c = len(rewards), int((rewards == 1.0).sum())
    return np.asarray([k / n if reward == 1.0 else k / n * rho(n - 1, c, k - 1) for reward in rewards])


def rho(n: int, c: int, k: int) -> float:
    """Eq. 4 and 8: share of the k-subsets of n rollouts, c of them correct, that contain a correct one."""
    return 1.0 - comb(n - c, k) / comb(n, k)


def pass_at_k(rewards: Array, settings: PreprocessSettings) -> Array:
    """The weights of eq. 7 as rewards of standard RL, as the paper trains them; without a baseline, eq. 6 itself.

    The mean of the weights is k/n rho(n, c, k), so with it the expected gradient is 1 - k/n of that of pass@k.
    """
    weights = pass_at_k_weights(rewards, settings.pass_k)
    return weights if settings.pass_k_baseline == "none" else mean(weights)


ADVANTAGES: dict[str, Callable[[Array, PreprocessSettings], Array]] = {
    "mean": lambda rewards, _: mean(rewards),
    "std": lambda rewards, _: std(rewards),
    "leave_one_out": lambda rewards, _: leave_one_out(rewards),
    "maxrl": lambda rewards, _: maxrl(rewards),
    "pass_at_k": pass_at_k,
}
"""Name in the settings -> formula over the n rewards that are not None, float64[n]."""
