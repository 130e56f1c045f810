"""What vLLM 0.32 computes slowly on a CPU, computed faster: RMS normalisation and the float32 LM head.

It uses its compiled normalisation kernels on GPUs only and computes seven PyTorch operations on a CPU. For a prompt of
2,048 tokens and 576 channels on one core that takes 9 ms instead of 0.3 ms, and a model has two of them a layer. The
kernels are in its CPU build, too; this module registers them as one more provider of the operations, by the interface
that vLLM has for that. Engine and worker processes import it, and `Engine` gives the provider priority.

A model in bfloat16 has its LM head computed in float32. On a GPU one operation does that; on a CPU vLLM casts the whole
weight at every step. Here it is cast once for each version of the weights (`forget_heads`).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from vllm import ir
from vllm.model_executor.layers.logits_processor import LogitsProcessor

PROVIDER = "compiled_cpu"
PRIORITY = {"rms_norm": [PROVIDER, "native"], "fused_add_rms_norm": [PROVIDER, "native"]}
"""Engine argument `ir_op_priority`: native where the kernel cannot be used."""


def _is_supported(x: Tensor, weight: Tensor | None, variance_size: int | None) -> bool:
    return x.device.type == "cpu" and weight is not None and weight.dtype == x.dtype and variance_size is None


def _supports_norm(x: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None) -> bool:
    return _is_supported(x, weight, variance_size)


def _supports_add(
    x: Tensor, x_residual: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None
) -> bool:
    contiguous = x.is_contiguous() and x_residual.is_contiguous()
    return _is_supported(x, weight, variance_size) and x.dtype == x_residual.dtype and contiguous


@ir.ops.rms_norm.register_impl(PROVIDER, supports_args=_supports_norm)
def rms_norm(x: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None) -> Tensor:
    """x [..., H], weight [H] -> x / sqrt(mean(x²) + epsilon) * weight."""
    x = x.contiguous()  # the heads of queries and keys are slices
    normed = torch.empty_like(x)
    torch.ops._C.rms_norm(normed, x, weight, epsilon)
    return normed


@ir.ops.fused_add_rms_norm.register_impl(PROVIDER, supports_args=_supports_add, inplace=True)
def fused_add_rms_norm(
    x: Tensor, x_residual: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None
) -> tuple[Tensor, Tensor]:
    """x and x_residual [..., H] -> (the norm of their sum, their sum), in their place."""
    torch.ops._C.fused_add_rms_norm(x, x_residual, weight, epsilon)
    return x, x_residual


_vllms_head = LogitsProcessor._apply_head


def _apply_head(self: Any, lm_head: Any, hidden_states: Tensor, embedding_bias: Tensor | None) -> Tensor:
    """hidden_states [N, H] -> logits [N, V] in `head_dtype`."""
    if self.head_dtype != torch.float32 or hidden_states.dtype == torch.float32 or hidden_states.device.type != "cpu":
        return _vllms_head(self, lm_head, hidden_states, embedding_bias)
    if getattr(self, "_float32_weight", None) is None:
        self._float32_weight = lm_head.weight.detach().float()
    bias = None if embedding_bias is None else embedding_bias.float()
    return linear(hidden_states.float(), self._float32_weight, bias)


LogitsProcessor._apply_head = _apply_head  # type: ignore[method-assign]


def forget_heads(model: nn.Module) -> None:
    """Call it after the weights of the model changed: its LM head is cast again when it is next used."""
    for module in model.modules():
        if isinstance(module, LogitsProcessor):
            module._float32_weight = None  # type: ignore[assignment]
