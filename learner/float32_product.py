"""The product of hidden states and the head's weight with a float32 result.

In bfloat16 on a GPU the tensor cores multiply bfloat16 and sum in float32, as vLLM does for its float32 head. Both
sides then round nothing: a product of two bfloat16 numbers has 16 significant bits and is exact in float32, so the
logits differ from those of float32 copies only by the order of the sums. No float32 copy of the weight is made.

In the backward pass the gradient of the logits is rounded to bfloat16, as in every other linear layer of the model;
its products are summed in float32 again. Elsewhere everything is computed in float32.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

Product = Callable[[Tensor, Tensor], Tensor]
"""[n, k] and [k, m] of one dtype -> float32 [n, m]."""


def float32_product(hidden: Tensor, weight: Tensor) -> Tensor:
    """hidden [..., H], weight [V, H] -> hidden weight^T, float32 [..., V]."""
    if weight.device.type == "cuda" and weight.dtype == torch.bfloat16:
        return low_precision_product(hidden, weight, _on_tensor_cores)
    return functional.linear(hidden.float(), weight.float())


def low_precision_product(hidden: Tensor, weight: Tensor, product: Product) -> Tensor:
    """`float32_product` whose factors stay in the dtype of the weight, by `product`."""
    rows = hidden.to(weight.dtype).flatten(0, -2)
    logits: Tensor = _Projected.apply(rows, weight, product)  # type: ignore[no-untyped-call]
    return logits.view(*hidden.shape[:-1], -1)


def _on_tensor_cores(left: Tensor, right: Tensor) -> Tensor:
    return torch.mm(left, right, out_dtype=torch.float32)


class _Projected(torch.autograd.Function):
    """`product` with a gradient, which autograd does not know for a result of another dtype."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, product: Product) -> Tensor:
        ctx.save_for_backward(hidden, weight)
        ctx.product = product
        return product(hidden, weight.t())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_logits: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight = ctx.saved_tensors
        rounded = of_logits.to(weight.dtype)
        needs_hidden, needs_weight, _ = ctx.needs_input_grad
        of_hidden = ctx.product(rounded, weight).to(hidden.dtype) if needs_hidden else None
        of_weight = ctx.product(rounded.t(), hidden).to(weight.dtype) if needs_weight else None
        return of_hidden, of_weight, None
