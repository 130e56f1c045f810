"""vLLM's compiled normalisation equals the plain formula, and a cast LM head follows the weights."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from vllm.model_executor.layers.logits_processor import LogitsProcessor

from actors import cpu_kernels

EPSILON = 1e-5
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


def plain(x: Tensor, weight: Tensor) -> Tensor:
    """In float64."""
    exact = x.double()
    return exact / (exact.square().mean(-1, keepdim=True) + EPSILON).sqrt() * weight.double()


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_the_kernels_normalise_as_the_formula_does(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x, residual, weight = torch.randn(5, 64).to(dtype), torch.randn(5, 64).to(dtype), torch.rand(64).to(dtype)
    bound = TOLERANCE[dtype]
    assert torch.allclose(cpu_kernels.rms_norm.impl_fn(x, weight, EPSILON).double(), plain(x, weight), bound, bound)
    total = x + residual
    normed, summed = cpu_kernels.fused_add_rms_norm.impl_fn(x, residual, weight, EPSILON)
    assert torch.equal(summed, total)
    assert torch.allclose(normed.double(), plain(total, weight), bound, bound)


def test_the_heads_of_queries_are_normalised_each() -> None:
    """They are a slice of a wider row: strides that are not of a contiguous tensor."""
    torch.manual_seed(0)
    queries = torch.randn(3, 96)[:, :64].view(3, 4, 16)
    weight = torch.rand(16)
    normed = cpu_kernels.rms_norm.impl_fn(queries, weight, EPSILON)
    assert not queries.is_contiguous()
    assert torch.allclose(normed.double(), plain(queries, weight), 1e-5, 1e-5)


def test_a_norm_without_weight_or_over_a_part_stays_vllms() -> None:
    x, weight = torch.randn(2, 8), torch.rand(8)
    supported = cpu_kernels.rms_norm.supports_args
    assert supported(x, weight, EPSILON)
    assert not supported(x, None, EPSILON)
    assert not supported(x, weight.bfloat16(), EPSILON)
    assert not supported(x, weight, EPSILON, 4)


class Head(nn.Module):
    """As much of an LM head as is used: 2 words, 2 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.bfloat16))


def test_a_head_is_cast_once_for_each_version_of_the_weights() -> None:
    processor: Any = LogitsProcessor.__new__(LogitsProcessor)
    nn.Module.__init__(processor)
    processor.head_dtype = torch.float32
    head, hidden = Head(), torch.ones(1, 2, dtype=torch.bfloat16)
    logits = processor._apply_head(head, hidden, None)
    assert (logits.dtype, logits.tolist()) == (torch.float32, [[3.0, 7.0]])
    with torch.no_grad():
        head.weight.mul_(2)
    assert processor._apply_head(head, hidden, None).tolist() == [[3.0, 7.0]], "still that of the version before"
    cpu_kernels.forget_heads(nn.Sequential(processor))
    assert processor._apply_head(head, hidden, None).tolist() == [[6.0, 14.0]]
