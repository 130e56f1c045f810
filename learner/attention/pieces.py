"""Attention of a packed row by one call for each prompt and each rollout: for CPUs, and for GPUs without `flex.py`."""

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention

from learner.attention.capped import capped_attention
from learner.attention.layout import Layout
from learner.attention.position_mask import PositionMask

_CACHED_SCORES = 2**16
"""Entries of a mask that is kept, at most: 256 masks take up to 64 MB."""


def attention_in_pieces(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: PositionMask | None,
    layout: Layout,
    *,
    scaling: float | None,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """query [1, heads, T, D], key and value [1, kv_heads, T, D] -> [1, heads, T, D]. There is no T x T mask.

    `mask`: None is causal. `softcap`, `sinks`: see `capped_attention`.
    """
    capped = softcap is not None or sinks is not None
    if not capped and query.device.type == "cpu":
        # There, `enable_gqa` copies keys and values in each call; one copy for the whole row is cheaper.
        key, value = (_for_each_query_head(states, query.shape[1]) for states in (key, value))
    outputs = []
    for q, k, v, start in _pieces(query, key, value, layout):
        end = k.shape[2]
        allowed = None if mask is None else mask.allowed(start, end, q.device)
        if capped:
            outputs.append(capped_attention(q, k, v, allowed, scaling=scaling, softcap=softcap, sinks=sinks))
            continue
        bias = allowed if allowed is not None else _lower_right(q, end) if start else None
        outputs.append(
            scaled_dot_product_attention(
                q, k, v, attn_mask=bias, is_causal=bias is None, scale=scaling,
                enable_gqa=query.shape[1] != key.shape[1],
            )
        )  # fmt: skip
    return torch.cat(outputs, dim=2)


def _pieces(query: Tensor, key: Tensor, value: Tensor, layout: Layout) -> Iterator[tuple[Tensor, Tensor, Tensor, int]]:
    """(queries, keys, values, position of the first query) of each prompt and of each rollout, in row order."""
    sizes = [size for prompt, rollouts in layout for size in (prompt, *rollouts)]
    parts = zip(query.split(sizes, dim=2), key.split(sizes, dim=2), value.split(sizes, dim=2), strict=True)
    for prompt, rollouts in layout:
        q, k_prompt, v_prompt = next(parts)
        yield q, k_prompt, v_prompt, 0
        for _ in rollouts:
            q, k, v = next(parts)
            yield q, torch.cat([k_prompt, k], dim=2), torch.cat([v_prompt, v], dim=2), prompt


def _for_each_query_head(states: Tensor, heads: int) -> Tensor:
    """[1, kv_heads, T, D] -> [1, heads, T, D]: query heads with the same keys follow each other."""
    return states if states.shape[1] == heads else states.repeat_interleave(heads // states.shape[1], dim=1)


def _lower_right(query: Tensor, num_keys: int) -> Tensor:
    """A causal mask with the last query at the last key."""
    if query.device.type == "cpu" and query.shape[2] * num_keys <= _CACHED_SCORES:
        return _additive_mask(query.shape[2], num_keys, query.dtype)
    return causal_lower_right(query.shape[2], num_keys)


@lru_cache(maxsize=256)
def _additive_mask(num_queries: int, num_keys: int, dtype: torch.dtype) -> Tensor:
    """[num_queries, num_keys]; the rollouts of a row have the same masks in each layer."""
    return torch.full((num_queries, num_keys), float("-inf"), dtype=dtype).triu(num_keys - num_queries + 1)
