"""Unbiased pass@k, and a confidence interval for its mean over problems. Pure.

The estimand is the mean pass@k of the population from which the problems were drawn, not of these problems alone: most
of the uncertainty is in the choice of problems.
"""

from math import comb
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actors.evaluation.intervals import Interval, wilson

RESAMPLES = 2000
_DRAWS_AT_ONCE = 2**20
"""8 MiB of indices."""


def pass_at_k(num_samples: int, num_successes: int, k: int) -> float:
    """Unbiased estimate of Pr[at least one of k samples is correct] (eq. 1; Chen et al. 2021, eq. 1).

    1 - C(n - c, k) / C(n, k). Raises ValueError unless 0 <= c <= n and 1 <= k <= n.
    """
    if not 0 <= num_successes <= num_samples or not 1 <= k <= num_samples:
        raise ValueError(f"pass@k needs 0 <= c <= n and 1 <= k <= n, got n={num_samples} c={num_successes} k={k}")
    return 1.0 - comb(num_samples - num_successes, k) / comb(num_samples, k)


def bootstrap_mean(
    values: ArrayLike, *, confidence: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Bootstrap interval for the mean of the population from which `values`, one estimate for each problem, were drawn.

    Problems are resampled together with their estimates, values in [0, 1]. The estimates are independent and unbiased,
    so their spread contains both the differences between problems and the sampling error of n samples; resampling
    within a problem as well would count that error twice. The ends are bias-corrected and accelerated percentiles (BCa,
    Efron 1987), because pass@k of hard problems is skewed and plain percentiles miss on one side. In simulations the
    95 % interval has a coverage of 90 to 96 % with 50 to 100 problems, and of 87 % with 30 problems whose values are
    nearly all 0 or nearly all 1.

    If all values are equal, the bootstrap interval has no width. The interval then allows for Wilson's upper bound on
    the share of different problems: 0 solved of 64 problems gives [0, 0.0566].
    Raises ValueError without values, or unless 0 < confidence < 1.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array) or not 0 < confidence < 1:
        raise ValueError("a bootstrap needs at least one value and 0 < confidence < 1")
    mean = float(array.mean())
    if np.ptp(array) == 0.0:
        unseen = wilson(0, len(array), confidence).upper
        return Interval(mean * (1 - unseen), mean + (1 - mean) * unseen)
    means = np.sort(_resampled_means(array, resamples, seed))
    normal = NormalDist()
    # Ties count half; 1e-12 absorbs rounding. The share is bounded away from 0 and 1, whose quantiles are infinite.
    share = float(np.searchsorted(means, [mean - 1e-12, mean + 1e-12]).sum()) / (2 * resamples)
    bias = normal.inv_cdf(min(max(share, 1 / resamples), 1 - 1 / resamples))
    deviations = array - mean
    acceleration = float((deviations**3).sum()) / (6 * float((deviations**2).sum()) ** 1.5)
    ends = []
    for tail in ((1 - confidence) / 2, (1 + confidence) / 2):
        shifted = bias + normal.inv_cdf(tail)
        ends.append(float(np.quantile(means, normal.cdf(bias + shifted / (1 - acceleration * shifted)))))
    return Interval(ends[0], ends[1])


def _resampled_means(values: NDArray[np.float64], resamples: int, seed: int) -> NDArray[np.float64]:
    """float64[resamples]: means of as many draws with replacement as there are values."""
    generator = np.random.default_rng(seed)
    rows = max(1, _DRAWS_AT_ONCE // len(values))
    parts = []
    for start in range(0, resamples, rows):
        drawn = generator.integers(0, len(values), (min(rows, resamples - start), len(values)))
        parts.append(values[drawn].mean(axis=1))
    return np.concatenate(parts)
