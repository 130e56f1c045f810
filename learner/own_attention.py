"""Attention of a row with one sequence: that of the model, by `scaled_dot_product_attention` where it can.

The `sdpa` of transformers leaves out a soft cap and sinks without a word. `learner/model.py` registers this function
with transformers as `own`, with the masks of `sdpa`.
"""

from typing import Any, cast

from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from learner.capped_attention import capped_attention

NAME = "own"


def own_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """query [1, heads, T, D], key and value [1, kv_heads, T, D] -> [1, T, heads, D]."""
    if softcap is None and s_aux is None:
        output, _ = sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **others)
        return cast(Tensor, output), None
    output = capped_attention(query, key, value, attention_mask, scaling=scaling, softcap=softcap, sinks=s_aux)
    return output.transpose(1, 2), None
