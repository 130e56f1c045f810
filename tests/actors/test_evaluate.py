from fractions import Fraction
from itertools import combinations

import pytest

from actors.evaluate import Count, mean_pass_at_k, pass_at_k


def test_pass_at_k_is_the_share_of_k_subsets_with_a_success():
    """Every subset counted, for all n <= 9."""
    for n in range(1, 10):
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


def test_the_mean_is_over_problems():
    counts = [Count("a", 4, 4, 0), Count("b", 4, 0, 0)]
    assert mean_pass_at_k(counts, [1, 4]) == {"pass@1": 0.5, "pass@4": 0.5}
