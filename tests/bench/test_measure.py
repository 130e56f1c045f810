"""The rows of `make bench`."""

import pytest

from tests.bench.measure import of_pairs


@pytest.mark.parametrize(
    ("ratios", "target", "met"),
    [
        ([0.9, 0.96, 1.2], ">= 0.95", True),
        ([0.9, 0.94, 1.2], ">= 0.95", False),
        ([0.02], "<= 0.02", True),
        ([2.2, 2.0], "<= 1.1", False),
        ([3.0], "", None),
    ],
)
def test_the_median_of_the_pairs_meets_the_target_or_misses_it(
    ratios: list[float], target: str, met: bool | None
) -> None:
    measure = of_pairs("P2", "a / b", ratios, target=target, detail="")
    assert measure.met is met
    assert measure.low <= measure.ratio <= measure.high
