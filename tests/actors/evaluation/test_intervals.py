from math import pi, sin, sqrt
from statistics import NormalDist

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.evaluation.intervals import jeffreys, wilson

RATES = st.integers(0, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def test_wilson_by_hand():
    """z^2 = 4 (95.45 %): 0 of 12 gives 4 / (12 + 4); 6 of 12 gives 1/2 +- 1/4."""
    confidence = 2 * NormalDist().cdf(2) - 1
    assert wilson(0, 12, confidence) == pytest.approx((0, 0.25))
    assert wilson(12, 12, confidence) == pytest.approx((0.75, 1))
    assert wilson(6, 12, confidence) == pytest.approx((0.25, 0.75))


def test_wilson_as_published():
    """81 of 263 and 15 of 148 at 95 %: Newcombe 1998, Statistics in Medicine 17, table I, method 3."""
    assert [round(end, 4) for end in wilson(81, 263)] == [0.2553, 0.3662]
    assert [round(end, 4) for end in wilson(15, 148)] == [0.0624, 0.1605]


@given(RATES.filter(lambda rate: rate[1] > 0), st.sampled_from([0.5, 0.8, 0.95, 0.999]))
def test_wilson_holds_exactly_the_rates_within_z_deviations(rate, confidence):
    """Each end solves |s/n - p| = z sqrt(p (1 - p) / n), or is 0 or 1."""
    successes, samples = rate
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    lower, upper = wilson(successes, samples, confidence)
    assert 0 <= lower <= successes / samples <= upper <= 1
    for end in (lower, upper):
        away = abs(successes / samples - end)
        assert away == pytest.approx(z * sqrt(end * (1 - end) / samples), abs=1e-9)


@pytest.mark.parametrize(("successes", "samples"), [(1, 40), (20, 40), (37, 40)])
def test_wilson_solves_the_quadratic(successes, samples):
    """The ends are the roots of (s/n - p)^2 - z^2 p (1 - p) / n, found numerically."""
    z2 = NormalDist().inv_cdf(0.975) ** 2
    rate = successes / samples
    roots = mpmath.polyroots([1 + z2 / samples, -2 * rate - z2 / samples, rate**2])
    assert wilson(successes, samples) == pytest.approx(sorted(float(root) for root in roots))


@given(RATES, st.sampled_from([0.5, 0.8, 0.95, 0.999]))
def test_jeffreys_leaves_half_of_the_rest_on_each_side(rate, confidence):
    """Against the incomplete beta function of mpmath."""
    successes, samples = rate
    a, b = successes + 0.5, samples - successes + 0.5
    lower, upper = jeffreys(successes, samples, confidence)
    tail = (1 - confidence) / 2
    assert float(mpmath.betainc(a, b, 0, lower, regularized=True)) == pytest.approx(tail, abs=1e-9)
    assert float(mpmath.betainc(a, b, upper, 1, regularized=True)) == pytest.approx(tail, abs=1e-9)


def test_without_samples_jeffreys_is_its_prior():
    """The arcsine law: Pr[X <= x] = 2/pi asin(sqrt x), so the quantile of p is sin^2(pi p / 2)."""
    assert jeffreys(0, 0) == pytest.approx((sin(pi * 0.025 / 2) ** 2, sin(pi * 0.975 / 2) ** 2))


@given(RATES)
def test_jeffreys_mirrors_when_solved_and_failed_swap(rate):
    successes, samples = rate
    lower, upper = jeffreys(successes, samples)
    mirrored = jeffreys(samples - successes, samples)
    assert (1 - mirrored.upper, 1 - mirrored.lower) == pytest.approx((lower, upper), abs=1e-12)


def test_jeffreys_tends_to_the_normal_interval():
    """300,000 of 1,000,000: 0.3 +- 1.96 sqrt(0.3 * 0.7 / 10^6)."""
    reach = 1.959964 * sqrt(0.3 * 0.7 / 1e6)
    assert jeffreys(300_000, 1_000_000) == pytest.approx((0.3 - reach, 0.3 + reach), abs=1e-6)


@pytest.mark.parametrize(("successes", "samples", "confidence"), [(5, 4, 0.95), (-1, 4, 0.95), (1, 4, 1.0), (1, 4, 0)])
@pytest.mark.parametrize("interval", [wilson, jeffreys])
def test_an_interval_of_nothing_possible_is_refused(interval, successes, samples, confidence):
    with pytest.raises(ValueError, match="an interval needs"):
        interval(successes, samples, confidence)


def test_wilson_needs_a_sample():
    with pytest.raises(ValueError, match="at least one sample"):
        wilson(0, 0)
