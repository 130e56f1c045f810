"""Confidence intervals for a rate, given s successes in n samples. Pure."""

from functools import lru_cache
from math import asin, log, pi, sin, sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(100)
"""Gauss-Legendre quadrature on [-1, 1]: 12 correct digits for a normal density over 12 standard deviations."""


class Interval(NamedTuple):
    """A closed interval."""

    lower: float
    upper: float


def wilson(successes: int, samples: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval (Wilson 1927): all rates p with |s/n - p| <= z sqrt(p (1 - p) / n).

    z is the normal quantile of (1 + confidence) / 2. Without successes the interval is [0, z^2 / (n + z^2)].
    Raises ValueError unless 0 <= s <= n, 1 <= n and 0 < confidence < 1.
    """
    _check(successes, samples, confidence)
    if samples == 0:
        raise ValueError("Wilson's interval needs at least one sample")
    z2 = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    rate = successes / samples
    centre = rate + z2 / (2 * samples)
    half_width = sqrt(z2 * (rate * (1 - rate) + z2 / (4 * samples)) / samples)
    scale = 1 + z2 / samples
    # With s = 0 or s = n a bound is exactly 0 or 1, which rounding would miss by 1e-17.
    lower = 0.0 if successes == 0 else (centre - half_width) / scale
    upper = 1.0 if successes == samples else (centre + half_width) / scale
    return Interval(lower, upper)


@lru_cache(maxsize=65536)
def jeffreys(successes: int, samples: int, confidence: float = 0.95) -> Interval:
    """Equal-tailed posterior interval of a rate under Jeffreys' prior, Beta(1/2, 1/2).

    The posterior is Beta(s + 1/2, n - s + 1/2). Without samples it is the prior: [0.0015, 0.9985] at 95 %.
    Raises ValueError unless 0 <= s <= n and 0 < confidence < 1.
    """
    _check(successes, samples, confidence)
    tail = (1 - confidence) / 2
    return Interval(
        _posterior_quantile(successes, samples, tail), 1.0 - _posterior_quantile(samples - successes, samples, tail)
    )


def _posterior_quantile(successes: int, samples: int, p: float) -> float:
    """The x with Pr[X <= x] = p for X ~ Beta(s + 1/2, f + 1/2), f = n - s.

    With x = sin^2 t the density of the angle t is proportional to sin^2s t cos^2f t, which has no poles. Its mode is t0
    with sin^2 t0 = s / n. The second derivative of its logarithm, -2s/sin^2 t - 2f/cos^2 t, is at most -2n, so it
    decays at least as fast as a normal density of standard deviation 1/sqrt(2n): eight of these to each side suffice.
    """
    failures = samples - successes
    if samples == 0:
        low, high = 0.0, pi / 2
    else:
        mode, reach = asin(sqrt(successes / samples)), 8 / sqrt(2 * samples)
        low, high = max(0.0, mode - reach), min(pi / 2, mode + reach)
    # At the mode 2 s ln sin t + 2 f ln cos t = s ln(s/n) + f ln(f/n). Subtracted, the peak is 1 and nothing overflows.
    peak = sum(count * log(count / samples) for count in (successes, failures) if count)

    def density(t: NDArray[np.float64]) -> NDArray[np.float64]:
        exponent = 2 * (successes * np.log(np.sin(t)) + failures * np.log(np.cos(t))) - peak
        return np.asarray(np.exp(exponent), dtype=np.float64)

    def mass(to: float) -> float:
        half = (to - low) / 2
        return float(half * (_WEIGHTS @ density(low + half * (_NODES + 1))))

    target = p * mass(high)
    floor, ceiling, t = low, high, (low + high) / 2
    for _ in range(100):
        excess = mass(t) - target
        floor, ceiling = (t, ceiling) if excess < 0 else (floor, t)
        newton = t - excess / max(float(density(np.asarray(t))), 1e-300)
        following = newton if floor < newton < ceiling else (floor + ceiling) / 2
        if abs(following - t) <= 1e-14 * t:
            break
        t = following
    return sin(t) ** 2


def _check(successes: int, samples: int, confidence: float) -> None:
    if not 0 <= successes <= samples or not 0 < confidence < 1:
        raise ValueError(
            "an interval needs 0 <= successes <= samples and 0 < confidence < 1, "
            f"got {successes} of {samples} at {confidence}"
        )
