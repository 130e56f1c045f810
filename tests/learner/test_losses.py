import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from learner.losses import MAX_LOG_RATIO, POLICY_LOSSES, importance_ratio, mean_over_step, ppo_clip, truncated_is

LN2 = math.log(2.0)


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def slow_ppo_clip(new: list[float], old: list[float], advantages: list[float], low: float, high: float) -> list[float]:
    losses = []
    for n, o, a in zip(new, old, advantages, strict=True):
        ratio = math.exp(n - o)
        losses.append(-min(ratio * a, min(max(ratio, low), high) * a))
    return losses


def test_the_losses_by_hand() -> None:
    # Ratios 2, 1/2, 8 against the bounds [0, 5].
    new, old, advantages = numbers(-1.0, -1.0, -1.0), numbers(-1 - LN2, -1 + LN2, -1 - 3 * LN2), numbers(1.0, -2.0, 1.0)
    assert ppo_clip(new, old, advantages, 0.0, 5.0).tolist() == pytest.approx([-2.0, 1.0, -5.0])
    assert truncated_is(new, old, advantages, 0.0, 5.0).tolist() == pytest.approx([2.0, -1.0, 5.0])


def test_a_step_is_the_sum_over_trained_tokens_divided_by_their_number() -> None:
    row, other = numbers(1.0, 2.0, 100.0), numbers(3.0)
    shares = mean_over_step(row, numbers(1, 1, 0), 3) + mean_over_step(other, numbers(1), 3)
    assert shares.item() == pytest.approx((1 + 2 + 3) / 3)


def test_a_step_without_trained_tokens_is_zero() -> None:
    assert mean_over_step(numbers(7.0), numbers(0.0), 0).item() == 0.0


@pytest.mark.parametrize("name", POLICY_LOSSES)
def test_at_ratio_one_every_form_has_the_gradient_of_reinforce(name: str) -> None:
    new = numbers(-0.3, -2.0, -1.0).requires_grad_()
    advantages = numbers(0.5, -0.5, 0.25)
    POLICY_LOSSES[name](new, new.detach().clone(), advantages, 0.0, 5.0).sum().backward()
    assert new.grad is not None
    assert new.grad.tolist() == pytest.approx((-advantages).tolist())


def test_inside_the_bounds_both_forms_have_the_same_gradient() -> None:
    old, advantages = numbers(-1.0, -1.0, -1.5), numbers(1.0, -1.0, 0.3)
    gradients = []
    for form in POLICY_LOSSES.values():
        new = numbers(-0.4, -1.7, -1.0).requires_grad_()
        form(new, old, advantages, 0.1, 5.0).sum().backward()
        assert new.grad is not None
        gradients.append(new.grad.tolist())
    assert gradients[0] == pytest.approx(gradients[1])


def test_above_the_bound_eq_2_stops_rewards_and_the_truncated_form_caps_both() -> None:
    old, advantages = numbers(-4.0, -4.0), numbers(1.0, -1.0)
    ratio = math.exp(3.0)
    for form, expected in ((ppo_clip, [0.0, ratio]), (truncated_is, [-5.0, 5.0])):
        new = numbers(-1.0, -1.0).requires_grad_()
        form(new, old, advantages, 0.0, 5.0).sum().backward()
        assert new.grad is not None
        assert new.grad.tolist() == pytest.approx(expected)


def test_a_mad_ratio_is_a_number() -> None:
    ratio = importance_ratio(numbers(0.0, -1e4), numbers(-1e4, 0.0))
    assert ratio.tolist() == pytest.approx([math.exp(MAX_LOG_RATIO), math.exp(-MAX_LOG_RATIO)])
    for form in POLICY_LOSSES.values():
        new = numbers(0.0, -1e4).requires_grad_()
        loss = form(new, numbers(-1e4, 0.0), numbers(-1.0, 1.0), 0.0, 5.0)
        loss.sum().backward()
        assert torch.isfinite(loss).all()
        assert new.grad is not None
        assert torch.isfinite(new.grad).all()


token = st.tuples(st.floats(-6, 0), st.floats(-6, 0), st.floats(-2, 2))


@given(st.lists(token, min_size=1, max_size=30), st.floats(0, 1), st.floats(1, 6))
def test_ppo_clip_equals_the_slow_loop(tokens: list[tuple[float, float, float]], low: float, high: float) -> None:
    new, old, advantages = (list(column) for column in zip(*tokens, strict=True))
    fast = ppo_clip(numbers(*new), numbers(*old), numbers(*advantages), low, high)
    assert fast.tolist() == pytest.approx(slow_ppo_clip(new, old, advantages, low, high))


def test_the_gradient_of_ppo_clip_is_that_of_its_numbers() -> None:
    torch.manual_seed(0)
    old, advantages = -torch.rand(20, dtype=torch.float64) * 3, torch.randn(20, dtype=torch.float64)
    new = (old + 0.8 * torch.randn(20, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: ppo_clip(x, old, advantages, 0.5, 1.7), (new,))


def test_the_gradient_of_truncated_is_is_the_capped_policy_gradient() -> None:
    torch.manual_seed(0)
    old, advantages = -torch.rand(20, dtype=torch.float64) * 3, torch.randn(20, dtype=torch.float64)
    new = (old + 0.8 * torch.randn(20, dtype=torch.float64)).requires_grad_()
    truncated_is(new, old, advantages, 0.5, 1.7).sum().backward()
    expected = -(new.detach() - old).exp().clamp(0.5, 1.7) * advantages
    assert new.grad is not None
    torch.testing.assert_close(new.grad, expected)
