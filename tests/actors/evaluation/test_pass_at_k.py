from fractions import Fraction
from itertools import combinations

import mpmath
import numpy as np
import pytest

from actors.evaluation.pass_at_k import bootstrap_mean, pass_at_k
from tests.yardstick import loops


def test_pass_at_k_is_the_share_of_k_subsets_with_a_success():
    """Every subset counted, for all n <= 12."""
    for n in range(1, 13):
        for c in range(n + 1):
            outcomes = [1] * c + [0] * (n - c)
            for k in range(1, n + 1):
                subsets = list(combinations(outcomes, k))
                expected = Fraction(sum(any(s) for s in subsets), len(subsets))
                assert pass_at_k(n, c, k) == pytest.approx(float(expected), abs=1e-12)


def test_pass_at_k_by_hand():
    assert pass_at_k(4, 1, 2) == 0.5  # 3 of the 6 pairs hold the one success
    assert pass_at_k(8, 0, 8) == 0.0
    assert pass_at_k(8, 1, 8) == 1.0


@pytest.mark.parametrize(("n", "c", "k"), [(4, 5, 1), (4, -1, 1), (4, 1, 0), (4, 1, 5)])
def test_pass_at_k_refuses_what_it_cannot_estimate(n, c, k):
    with pytest.raises(ValueError, match=r"pass@k needs"):
        pass_at_k(n, c, k)


@pytest.mark.parametrize("k", [1, 16])
@pytest.mark.parametrize(
    ("a", "b", "problems"), [(0.3, 3, 50), (0.5, 0.5, 50), (0.5, 2, 64), (1, 1, 100), (20, 180, 100)]
)
def test_the_95_percent_interval_covers_the_population_mean_in_95_percent_of_data_sets(a, b, problems, k):
    """Solve rates from Beta(a, b), 64 samples a problem; the truth is 1 - E[(1 - p)^k] = 1 - B(a, b + k) / B(a, b).

    Beta(0.3, 3) is a hard set, Beta(0.5, 0.5) an uneven one; under Beta(20, 180) the problems are much alike, and most
    of the spread is the chance of the samples.
    """
    truth = float(1 - mpmath.beta(a, b + k) / mpmath.beta(a, b))
    value_of = np.array([pass_at_k(64, c, k) for c in range(65)])
    generator = np.random.default_rng(20)
    data_sets, covered = 1000, 0
    for seed in range(data_sets):
        values = value_of[generator.binomial(64, generator.beta(a, b, problems))]
        lower, upper = bootstrap_mean(values, resamples=1000, seed=seed)
        covered += lower <= truth <= upper
    assert 0.92 <= covered / data_sets <= 0.98


def test_the_interval_tends_to_the_normal_one():
    """10,000 problems, half solved: 0.5 +- 1.96 * 0.5 / 100."""
    interval = bootstrap_mean([0.0, 1.0] * 5000)
    assert interval == pytest.approx((0.5 - 0.0098, 0.5 + 0.0098), abs=1e-3)


def test_a_seed_gives_one_interval():
    values = [0.0, 0.1, 0.1, 0.7, 1.0]
    assert bootstrap_mean(values, seed=3) == bootstrap_mean(values, seed=3)


def test_the_interval_follows_the_skew():
    """One problem in 20 is solved: the mean may be far above, but hardly below."""
    lower, upper = bootstrap_mean([0.0] * 19 + [1.0])
    assert lower >= 0.0
    assert upper - 0.05 > 2 * (0.05 - lower)


def test_problems_that_all_agree_still_leave_room_for_others():
    """Wilson's bound for 0 of 64 problems is z^2 / (64 + z^2) = 3.8415 / 67.8415 = 0.0566."""
    assert bootstrap_mean([0.0] * 64) == pytest.approx((0, 0.0566), abs=5e-5)
    assert bootstrap_mean([1.0] * 64) == pytest.approx((1 - 0.0566, 1), abs=5e-5)
    assert bootstrap_mean([0.5] * 64) == pytest.approx((0.5 - 0.0283, 0.5 + 0.0283), abs=5e-5)


@pytest.mark.parametrize(("values", "confidence"), [([], 0.95), ([0.5], 0.0), ([0.5], 1.0)])
def test_a_bootstrap_of_nothing_is_refused(values, confidence):
    with pytest.raises(ValueError, match="a bootstrap needs"):
        bootstrap_mean(values, confidence=confidence)


def test_the_resamples_of_a_thousand_problems_are_drawn_at_once():
    values = np.random.default_rng(0).random(1000)
    assert loops(lambda: bootstrap_mean(values, resamples=2000)) < 20
