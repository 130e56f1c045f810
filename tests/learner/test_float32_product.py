"""float32 logits from bfloat16 factors: equal to the product of float32 copies, forward and backward.

A CPU has no `mm` with another result type, so the tensor cores are stood in for by the product of float32 copies of
bfloat16 factors: the same exact products, summed in float32. The operation itself is checked on a GPU, where there is
one, and for its types and shapes on torch's meta device.
"""

import pytest
import torch
from torch import Tensor

from learner.float32_product import float32_product, low_precision_product

BF16_EPS = 2.0**-8
"""Largest relative error of rounding to bfloat16: 8 significant bits."""


def factors(device: str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    """bfloat16 hidden [1, 24, 64] and weight [96, 64] with gradients, and a float32 gradient of their logits."""
    torch.manual_seed(0)
    hidden = torch.randn(1, 24, 64, device=device).bfloat16().requires_grad_()
    weight = (0.1 * torch.randn(96, 64, device=device)).bfloat16().requires_grad_()
    return hidden, weight, 1e-3 * torch.randn(1, 24, 96, device=device)


def copies(left: Tensor, right: Tensor) -> Tensor:
    assert left.dtype == right.dtype == torch.bfloat16
    return left.float() @ right.float()


def test_the_product_of_two_bfloat16_numbers_is_exact_in_float32() -> None:
    every = torch.arange(2**7).add(2**7).bfloat16()  # every mantissa
    assert torch.equal(every.double(), torch.arange(128, 256).double())
    products = torch.outer(every.float(), every.float())
    assert torch.equal(products.double(), torch.outer(every.double(), every.double()))


def test_logits_are_those_of_float32_copies() -> None:
    hidden, weight, _ = factors()
    logits = low_precision_product(hidden, weight, copies)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, hidden.float() @ weight.float().t(), rtol=1e-6, atol=1e-6)
    exact = hidden.detach().double() @ weight.detach().double().t()
    errors = [float((found.detach() - exact).abs().max()) for found in (logits, logits.bfloat16())]
    assert errors[0] < 1e-5 < errors[1]


def test_gradients_are_those_of_a_logit_gradient_rounded_to_bfloat16() -> None:
    hidden, weight, of_logits = factors()
    ours = torch.autograd.grad(low_precision_product(hidden, weight, copies), (hidden, weight), of_logits)
    plain = torch.autograd.grad(float32_product(hidden, weight), (hidden, weight), of_logits.bfloat16().float())
    for gradient, expected in zip(ours, plain, strict=True):
        assert gradient.dtype == torch.bfloat16
        torch.testing.assert_close(gradient, expected, rtol=2 * BF16_EPS, atol=1e-6)  # sums of another order, rounded


def test_the_rounded_logit_gradient_changes_a_gradient_by_no_more_than_a_rounding_of_its_terms() -> None:
    """|sum g w - sum round(g) w| <= eps sum |g w|, and each side is rounded once more to bfloat16."""
    hidden, weight, of_logits = factors()
    ours = torch.autograd.grad(low_precision_product(hidden, weight, copies), (hidden, weight), of_logits)
    flat, gradient = hidden.detach().double().flatten(0, 1), of_logits.double().flatten(0, 1)
    exact = (gradient @ weight.detach().double()).unsqueeze(0), gradient.t() @ flat
    terms = (gradient.abs() @ weight.detach().double().abs()).unsqueeze(0), gradient.abs().t() @ flat.abs()
    for got, wanted, bound in zip(ours, exact, terms, strict=True):
        assert bool(((got - wanted).abs() <= BF16_EPS * bound + BF16_EPS * wanted.abs() + 1e-9).all())


def test_on_a_cpu_the_product_is_that_of_float32_copies() -> None:
    hidden, weight, _ = factors()
    assert torch.equal(float32_product(hidden, weight), torch.nn.functional.linear(hidden.float(), weight.float()))
    plain = weight.float()
    assert torch.equal(float32_product(hidden, plain), torch.nn.functional.linear(hidden.float(), plain))


def test_a_weight_that_is_not_trained_gets_no_gradient() -> None:
    hidden, weight, of_logits = factors()
    logits = low_precision_product(hidden, weight.detach(), copies)
    (gradient,) = torch.autograd.grad(logits, (hidden,), of_logits)
    assert gradient.shape == hidden.shape


def test_the_operation_takes_bfloat16_and_gives_float32() -> None:
    left, right = (torch.empty(shape, dtype=torch.bfloat16, device="meta") for shape in ((24, 64), (64, 96)))
    result = torch.mm(left, right, out_dtype=torch.float32)
    assert (result.dtype, result.shape) == (torch.float32, (24, 96))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_tensor_cores_give_what_their_stand_in_gives() -> None:
    hidden, weight, of_logits = factors("cuda")
    logits, expected = float32_product(hidden, weight), low_precision_product(hidden, weight, copies)
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    ours = torch.autograd.grad(logits, (hidden, weight), of_logits)
    for gradient, wanted in zip(ours, torch.autograd.grad(expected, (hidden, weight), of_logits), strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=2 * BF16_EPS, atol=1e-6)
