"""Attention of a packed row: every sequence attends only to itself, and each prompt is computed once.

The rollouts of a prompt follow it in the row. Each attends to the prompt and causally to itself, which is equivalent to
separate sequences prompt + rollout.

Two implementations give the same numbers: `pieces.py` for a CPU, `flex.py` for a GPU. Whatever an attention module
passes beside masks, soft cap and sinks is refused by name here, for both. `learner/model.py` registers
`packed_attention`, and `packed_mask` of `position_mask.py`, with transformers under `NAME`.
"""

from typing import Any, Literal

from torch import Tensor, nn

from learner.attention.flex import BlockMasks, can_run, flex_attention_of_row
from learner.attention.layout import Layout, longest_sample, row_tokens
from learner.attention.pieces import attention_in_pieces
from learner.attention.position_mask import PositionMask
from learner.unsupported_model import CannotPack

NAME = "packed"

Implementation = Literal["auto", "pieces", "flex"]
"""`learner.attention`."""

_HARMLESS = {"position_ids", "cache_position", "output_attentions", "use_cache", "deterministic"}
"""Arguments of an attention call that change nothing: `packed` rows have neither cache nor dropout."""


class PackedRow:
    """A row on its way through the layers: its layout, and the block masks that its layers share."""

    def __init__(self, layout: Layout, implementation: Implementation = "auto") -> None:
        self.layout = layout
        self.block_masks = BlockMasks(layout)
        self._implementation = implementation

    def uses_flex(self, query: Tensor) -> bool:
        """`auto`: where it has a kernel for these heads."""
        return can_run(query) if self._implementation == "auto" else self._implementation == "flex"


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: PositionMask | None,
    *,
    packed_row: PackedRow | None = None,
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
    layout = packed_row.layout if packed_row is not None else None
    _refuse_unknown(module, attention_mask, layout, sliding_window, is_causal, dropout, others)
    assert packed_row is not None
    if query.shape[2] != row_tokens(packed_row.layout):
        raise CannotPack(_name(module), f"its attention runs over {query.shape[2]} positions, not over those of a row")
    if packed_row.uses_flex(query):
        masks = packed_row.block_masks.of(attention_mask, query.device)
        output = flex_attention_of_row(query, key, value, masks, scaling=scaling, softcap=softcap, sinks=s_aux)
    else:
        output = attention_in_pieces(
            query, key, value, attention_mask, packed_row.layout, scaling=scaling, softcap=softcap, sinks=s_aux
        )
    return output.transpose(1, 2).contiguous(), None


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
