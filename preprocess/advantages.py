"""Group advantages (POPE section 2). Pure."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def mean_advantages(rewards: Sequence[float | None]) -> NDArray[np.float32]:
    """A_i = r_i - mean_j r_j over the rollouts of one prompt; float32[G].

    A rollout whose verifier failed has no reward (None): it is left out of the mean and gets advantage 0.
    Unlike GRPO there is no division by the standard deviation.

        mean_advantages([1.0, 0.0, None, 0.0, 0.0]) == [0.75, -0.25, 0, -0.25, -0.25]
    """
    known = [reward for reward in rewards if reward is not None]
    if not known:
        return np.zeros(len(rewards), dtype=np.float32)
    baseline = sum(known) / len(known)
    return np.asarray([0.0 if reward is None else reward - baseline for reward in rewards], dtype=np.float32)
