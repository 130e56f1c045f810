"""Attention with what `scaled_dot_product_attention` does not have: a soft cap, and sinks."""

import torch
from torch import Tensor


def capped_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    allowed: Tensor | None,
    *,
    scaling: float | None,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """query [1, heads, n, D], key and value [1, kv_heads, m, D] -> [1, heads, n, D]. The softmax is in float32.

    `allowed`: bool, broadcast to [n, m]; None: causal, the last query at the last key. `softcap`: scores become
    softcap * tanh(scores / softcap) (Gemma 2). `sinks` [heads]: a score beside those of the keys, which takes a share
    of the attention and has no value (gpt-oss).
    """
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    n, m = scores.shape[2:]
    if allowed is None:
        allowed = torch.ones(n, m, dtype=torch.bool, device=scores.device).tril(m - n)
    scores = scores.float().masked_fill(~allowed, float("-inf"))
    if sinks is None:
        return scores.softmax(dim=-1).to(value.dtype) @ value
    column = sinks.float().view(1, -1, 1, 1).expand(1, -1, n, 1)
    return torch.cat([scores, column], dim=-1).softmax(dim=-1)[..., :-1].to(value.dtype) @ value
