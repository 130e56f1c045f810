"""The learning rate of supervised training, by hand."""

import pytest

from learner.schedule import warmup_then_linear


def test_the_learning_rate_rises_and_falls_linearly() -> None:
    # 10 steps, of which ceil(0.3 * 10) = 3 rise; the other 7 fall by 1/7 each, and step 11 would be 0.
    rates = [warmup_then_linear(step, 10, 0.3) for step in range(1, 11)]
    assert rates == pytest.approx([1 / 3, 2 / 3, 1, 1, 6 / 7, 5 / 7, 4 / 7, 3 / 7, 2 / 7, 1 / 7])


@pytest.mark.parametrize("num_steps", [1, 2, 3, 24, 6])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_the_learning_rate_is_positive_in_every_step_and_reaches_its_peak(num_steps: int, share: float) -> None:
    rates = [warmup_then_linear(step, num_steps, share) for step in range(1, num_steps + 1)]
    assert min(rates) > 0
    assert max(rates) == 1
