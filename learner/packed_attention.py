"""Attention of a packed row: every sequence attends only to itself, and each prompt is computed once.

The rollouts of a prompt follow it in the row. Each attends to the prompt and causally to itself, which is equivalent to
separate sequences prompt + rollout. There is no T x T mask.

The masks are the model's own: transformers gives `packed_mask` the rule by which the architecture lets a position
attend to another (causal, sliding window, chunks), and `packed_attention` applies it to positions within a sample.
Whatever else an attention module passes is honoured or refused by name. `learner/model.py` registers both functions
with transformers as `packed`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention
from transformers.masking_utils import causal_mask_function

from learner.capped_attention import capped_attention
from learner.unsupported_model import CannotPack

NAME = "packed"

Layout = tuple[tuple[int, tuple[int, ...]], ...]
"""Contents of a row in order: (tokens of the prompt, tokens of each of its rollouts) for each bundle.
((3, (2, 4)), (5, (1,))): p p p a a b b b b, then p p p p p c."""

MaskRule = Callable[..., Any]
"""(batch index, head index, query positions, key positions) -> bool tensor, broadcast: the query attends to the key."""
_PROBED = 64
"""Positions for which a rule is checked to be causal."""
_CACHED_SCORES = 2**16
"""Entries of a mask that is kept, at most: 256 masks take up to 64 MB."""
_HARMLESS = {"position_ids", "cache_position", "output_attentions", "use_cache", "deterministic"}
"""Arguments of an attention call that change nothing: `packed` rows have neither cache nor dropout."""


def longest_sample(layout: Layout) -> int:
    """Tokens of the longest prompt with one of its rollouts."""
    return max(prompt + max(rollouts) for prompt, rollouts in layout)


@dataclass(frozen=True)
class PositionMask:
    """Which positions of one sample a position attends to, where that is not all of those before it."""

    rule: MaskRule
    local_size: int | None
    """Samples of at most this many tokens are masked causally; None when that is not known."""

    def allowed(self, start: int, end: int, device: torch.device) -> Tensor | None:
        """bool [end - start, end]: queries at positions start..end-1, keys at 0..end-1. None: causal."""
        if self.local_size is not None and end <= self.local_size:
            return None
        keys = torch.arange(end, device=device)
        allowed: Tensor = self.rule(0, 0, keys[start:, None], keys[None, :])
        return allowed.expand(end - start, end)


def packed_mask(
    *, mask_function: MaskRule, config: Any, q_length: int, local_size: int | None = None,
    device: torch.device | str = "cpu", **_: Any,
) -> PositionMask | None:  # fmt: skip
    """The mask of a packed row, called by transformers where it would build a T x T mask. None: causal.

    The other arguments describe padding, a cache and the form of the mask; a packed row has none of them.
    """
    if mask_function is causal_mask_function:
        return None
    architecture = type(config).__name__.removesuffix("Config")
    if _row_tensors(mask_function):
        raise CannotPack(architecture, "its attention mask depends on the place of a token in the row")
    positions = torch.arange(min(q_length, _PROBED), device=device)
    allowed = mask_function(0, 0, positions[:, None], positions[None, :])
    if (allowed & (positions[None, :] > positions[:, None])).any():
        raise CannotPack(architecture, "its tokens attend to later tokens")
    return PositionMask(mask_function, local_size)


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: PositionMask | None,
    *,
    layout: Layout | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    is_causal: bool | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """query [1, heads, T, D], key and value [1, kv_heads, T, D] -> [1, T, heads, D]; T is the sum of the layout.

    `softcap`, `s_aux`: see `capped_attention`. Raises `CannotPack` for what it does not honour.
    """
    _refuse_unknown(module, attention_mask, layout, sliding_window, is_causal, dropout, others)
    assert layout is not None
    if query.shape[2] != sum(prompt + sum(rollouts) for prompt, rollouts in layout):
        raise CannotPack(_name(module), f"its attention runs over {query.shape[2]} positions, not over those of a row")
    capped = softcap is not None or s_aux is not None
    if not capped and query.device.type == "cpu":
        # There, `enable_gqa` copies keys and values in each call; one copy for the whole row is cheaper.
        key, value = (_for_each_query_head(states, query.shape[1]) for states in (key, value))
    outputs = []
    for q, k, v, start in _pieces(query, key, value, layout):
        end = k.shape[2]
        allowed = None if attention_mask is None else attention_mask.allowed(start, end, q.device)
        if capped:
            outputs.append(capped_attention(q, k, v, allowed, scaling=scaling, softcap=softcap, sinks=s_aux))
            continue
        mask = allowed if allowed is not None else _lower_right(q, end) if start else None
        outputs.append(
            scaled_dot_product_attention(
                q, k, v, attn_mask=mask, is_causal=mask is None, scale=scaling,
                enable_gqa=query.shape[1] != key.shape[1],
            )
        )  # fmt: skip
    return torch.cat(outputs, dim=2).transpose(1, 2).contiguous(), None


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


def _refuse_unknown(
    module: nn.Module, mask: Any, layout: Layout | None, sliding_window: int | None, is_causal: bool | None,
    dropout: float, others: dict[str, Any],
) -> None:  # fmt: skip
    """Raises `CannotPack` if the call asks for something that packed attention does not do."""
    reasons = [f"its attention passes {name}" for name, value in others.items() if _matters(name, value)]
    if layout is None:
        reasons.append("it does not hand the layout of a row to its attention")
    elif mask is None and sliding_window is not None and longest_sample(layout) > sliding_window:
        reasons.append(f"its attention passes sliding_window={sliding_window} beside a causal mask")
    if mask is not None and not isinstance(mask, PositionMask):
        reasons.append("it builds an attention mask of its own")
    if is_causal is False and mask is None:
        reasons.append("its attention passes is_causal=False")
    if dropout:
        reasons.append(f"its attention passes dropout={dropout}")
    if reasons:
        raise CannotPack(_name(module), ", ".join(reasons))


def _matters(name: str, value: Any) -> bool:
    return name not in _HARMLESS and value is not None and value is not False


def _name(module: nn.Module) -> str:
    return type(module).__name__.removesuffix("Attention")


def _row_tensors(function: Any) -> bool:
    """Whether a rule holds a tensor with an entry for each place of the row."""
    cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    parts = [part for cell in cells for part in (cell if isinstance(cell, (tuple, list)) else (cell,))]
    return any(part.numel() > 1 if isinstance(part, Tensor) else callable(part) and _row_tensors(part)
               for part in parts)  # fmt: skip
