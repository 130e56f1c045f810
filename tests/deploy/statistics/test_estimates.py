from math import lgamma, pi, sqrt

import numpy as np
import pytest

from actors.evaluation.intervals import wilson
from actors.evaluation.results import Result
from deploy.statistics.estimates import over_seeds, score, student_t


def mass_by_quadrature(t: float, degrees: int) -> float:
    """Pr[|T| <= t] as the area under Student's density: an independent, slow way."""
    x = np.linspace(0.0, t, 200_001)
    constant = np.exp(lgamma((degrees + 1) / 2) - lgamma(degrees / 2)) / sqrt(degrees * pi)
    density = constant * (1 + x**2 / degrees) ** (-(degrees + 1) / 2)
    return 2 * float(np.trapezoid(density, x))


@pytest.mark.parametrize(("degrees", "t"), [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (30, 2.042)])
def test_the_quantile_is_that_of_the_tables(degrees: int, t: float) -> None:
    assert student_t(degrees) == pytest.approx(t, abs=5e-4)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 6, 7, 20, 33])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_the_quantile_holds_its_mass(degrees: int, confidence: float) -> None:
    assert mass_by_quadrature(student_t(degrees, confidence), degrees) == pytest.approx(confidence, abs=1e-6)


@pytest.mark.parametrize(("degrees", "confidence"), [(0, 0.95), (3, 0.0), (3, 1.0)])
def test_no_quantile_without_degrees_or_confidence(degrees: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="Student's t needs"):
        student_t(degrees, confidence)


def test_the_interval_over_seeds_by_hand() -> None:
    """0.2, 0.4, 0.6: mean 0.4, s = 0.2, t(2) = 4.3027, reach = 4.3027 x 0.2 / sqrt(3) = 0.49683."""
    estimate = over_seeds([0.2, 0.4, 0.6])
    assert estimate[:3] == pytest.approx((0.4, 0.4 - 0.496828, 0.4 + 0.496828), abs=1e-5)
    assert (estimate.seeds, estimate.method) == (3, "t over seeds")
    assert over_seeds([0.2, 0.4, 0.6], 0.0, 1.0).lower == 0.0


def test_one_seed_has_no_interval_over_seeds() -> None:
    assert over_seeds([0.3])[:3] == (0.3, None, None)
    with pytest.raises(ValueError, match="at least one value"):
        over_seeds([])


def results(*solved: int, timeouts: int = 0, of: str = "p") -> list[Result]:
    return [
        Result(
            problem_id=f"{of}{i}",
            source="hard",
            samples=4,
            verdicts={"correct": c, "wrong": 4 - c - timeouts, "timeout": timeouts},
            truncated=0,
            completion_tokens=4,
            longest_completion_tokens=1,
            policy_version=0,
        )
        for i, c in enumerate(solved)
    ]


def test_several_seeds_have_a_t_interval_and_one_has_a_bootstrap() -> None:
    two = score([results(4, 0), results(4, 4)], 1)
    assert two is not None
    assert (two.mean, two.values, two.method) == (0.75, (0.5, 1.0), "t over seeds")
    one = score([results(4, 0)], 1)
    assert one is not None
    assert (one.mean, one.method) == (0.5, "bootstrap over problems")
    assert one.lower is not None
    assert one.lower < 0.5


def test_seeds_that_never_solve_anything_still_have_an_interval() -> None:
    estimate = score([results(0, 0, of="s0-"), results(0, 0, of="s1-")], 1)
    assert estimate is not None
    assert (estimate.mean, estimate.lower, estimate.seeds) == (0.0, 0.0, 2)
    assert estimate.method == "bootstrap over problems"
    assert estimate.upper == pytest.approx(0.4899, abs=1e-4)  # Wilson, 0 of 4: z^2 / (4 + z^2)


def test_one_problem_under_several_seeds_is_one_problem() -> None:
    """Three seeds of two problems leave open what one does; two seeds that share one of their problems have three."""
    for seeds, problems in (([results(0, 0)] * 3, 2), ([results(0, 0), results(0, 0, of="q")[:1] + results(0)], 3)):
        estimate = score(seeds, 1)
        assert estimate is not None
        assert estimate.upper == pytest.approx(wilson(0, problems, 0.95).upper)
    together = score([results(4, 0), results(0, 4)], 1)
    assert together is not None
    assert (together.mean, together.values, together.method) == (0.5, (0.5, 0.5), "bootstrap over problems")
    assert together[:3] == score([results(2, 2)], 1)[:3]  # type: ignore[index]


def test_a_k_above_the_judged_samples_has_no_score() -> None:
    assert score([results(1, 1, timeouts=2)], 3) is None
    assert score([[], []], 1) is None
