"""Attention of a packed row: every sequence attends only to itself, and each prompt is computed once.

The rollouts of a prompt follow it in the row. Each attends to the prompt and causally to itself, which is equivalent to
separate sequences prompt + rollout. There is no T x T mask.
`learner/model.py` registers the function with transformers as `packed`.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention

NAME = "packed"

Layout = tuple[tuple[int, tuple[int, ...]], ...]
"""Contents of a row in order: (tokens of the prompt, tokens of each of its rollouts) for each bundle.
((3, (2, 4)), (5, (1,))): p p p a a b b b b, then p p p p p c."""


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    layout: Layout,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """query [1, heads, T, D], key and value [1, kv_heads, T, D] -> [1, T, heads, D]; T is the sum of the layout.

    Raises ValueError when a sample is longer than the sliding window of the model.
    """
    assert attention_mask is None, "packed rows carry no mask"
    longest = max(prompt + max(rollouts) for prompt, rollouts in layout)
    if sliding_window is not None and longest > sliding_window:
        raise ValueError(f"this model attends to {sliding_window} tokens at most, a sample has {longest}")
    grouped = query.shape[1] != key.shape[1]
    sizes = [size for prompt, rollouts in layout for size in (prompt, *rollouts)]
    parts = zip(query.split(sizes, dim=2), key.split(sizes, dim=2), value.split(sizes, dim=2), strict=True)
    outputs = []
    for _prompt, rollouts in layout:
        q, k_prompt, v_prompt = next(parts)
        outputs.append(
            scaled_dot_product_attention(
                q, k_prompt, v_prompt, is_causal=True, scale=scaling, dropout_p=dropout, enable_gqa=grouped
            )
        )
        for _rollout in rollouts:
            q, k, v = next(parts)
            k, v = torch.cat([k_prompt, k], dim=2), torch.cat([v_prompt, v], dim=2)
            causal = causal_lower_right(q.shape[2], k.shape[2])
            outputs.append(
                scaled_dot_product_attention(
                    q, k, v, attn_mask=causal, scale=scaling, dropout_p=dropout, enable_gqa=grouped
                )
            )
    return torch.cat(outputs, dim=2).transpose(1, 2), None
