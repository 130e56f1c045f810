"""Masks of a packed row: the model's own rule, applied to positions within a sample.

transformers gives `packed_mask` the rule by which an architecture lets a position attend to another (causal, sliding
window, chunks). A rule that is not one of positions is refused by name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.masking_utils import causal_mask_function

from learner.unsupported_model import CannotPack

MaskRule = Callable[..., Any]
"""(batch index, head index, query positions, key positions) -> bool tensor, broadcast: the query attends to the key."""
_PROBED = 64
"""Positions for which a rule is checked to be causal."""


@dataclass(frozen=True)
class PositionMask:
    """Which positions of one sample a position attends to, where that is not all of those before it."""

    rule: MaskRule
    local_size: int | None
    """Samples of at most this many tokens are masked causally; None when that is not known."""

    def is_causal(self, tokens: int) -> bool:
        """Whether samples of at most `tokens` tokens are known to be masked causally."""
        return self.local_size is not None and tokens <= self.local_size

    def allowed(self, start: int, end: int, device: torch.device) -> Tensor | None:
        """bool [end - start, end]: queries at positions start..end-1, keys at 0..end-1. None: causal."""
        if self.is_causal(end):
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


def _row_tensors(function: Any) -> bool:
    """Whether a rule holds a tensor with an entry for each place of the row."""
    cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    parts = [part for cell in cells for part in (cell if isinstance(cell, (tuple, list)) else (cell,))]
    return any(part.numel() > 1 if isinstance(part, Tensor) else callable(part) and _row_tensors(part)
               for part in parts)  # fmt: skip
