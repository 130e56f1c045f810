import random

import numpy as np
import pytest

from deploy.statistics.windows import (
    MOST_WINDOWS,
    TREND_WINDOWS,
    common_windows,
    first_reached,
    rate_by_time,
    slopes,
    window_means,
    window_width,
)


def test_windows_by_hand() -> None:
    """Width 2: (1 + 3) / (2 + 4) in the first, nothing in the second, 5 / 5 in the third."""
    assert window_means([(0, 1, 2), (1, 3, 4), (4, 5, 5), (3, 0, 0)], 2) == {0: 4 / 6, 2: 1.0}


def test_windows_equal_a_slow_loop() -> None:
    random.seed(1)
    samples = [(random.randrange(50), random.random(), random.randrange(9)) for _ in range(400)]
    for width in (1, 3, 7):
        slow = {}
        for i in range(50):
            inside = [s for s in samples if i * width <= s[0] < (i + 1) * width]
            if sum(s[2] for s in inside):
                slow[i] = sum(s[1] for s in inside) / sum(s[2] for s in inside)
        assert window_means(samples, width) == pytest.approx(slow)


@pytest.mark.parametrize(("span", "width"), [(0, 1), (1, 1), (40, 1), (41, 2), (160, 4), (161, 5)])
def test_a_width_gives_at_most_the_allowed_windows(span: int, width: int) -> None:
    assert window_width([span, 0]) == width
    assert -(-span // width) <= MOST_WINDOWS


def test_the_threshold_is_reached_in_the_first_window_at_or_above_it() -> None:
    assert first_reached({0: 0.1, 2: 0.9, 5: 1.0}, 0.9) == 2
    assert first_reached({0: 0.1}, 0.9) is None


def test_a_rate_covers_whole_windows_including_empty_ones() -> None:
    """Windows of 10 s from second 100 on; the last begun is left out."""
    assert rate_by_time([(100, 50.0), (109, 50.0), (125, 30.0), (131, 9.0)], 10) == {0: 10.0, 1: 0.0, 2: 3.0}
    assert rate_by_time([], 10) == {}


def test_a_slope_is_that_of_least_squares_over_its_windows() -> None:
    random.seed(2)
    samples = [(x, weight * random.random(), weight) for x in range(40) for weight in (float(random.randrange(1, 9)),)]
    found = slopes(samples, 2, 20)
    assert list(found) == list(range(TREND_WINDOWS - 1, 20))
    for window, slope in found.items():
        x, total, weight = np.array(
            [s for s in samples if 2 * (window + 1 - TREND_WINDOWS) <= s[0] < 2 * (window + 1)]
        ).T
        assert slope == pytest.approx(np.polyfit(x, total / weight, 1, w=np.sqrt(weight))[0])


def test_there_is_no_slope_over_one_step_or_without_judged_rollouts() -> None:
    assert slopes([(7, 1.0, 8.0)] * 3, 1, 8) == {}
    assert slopes([(6, 0.0, 0.0), (7, 1.0, 8.0)], 1, 8) == {}


def test_common_windows_are_those_of_every_seed() -> None:
    assert common_windows([{3: 0, 1: 0}, {1: 0, 2: 0, 3: 0}]) == [1, 3]
    assert common_windows([]) == []
