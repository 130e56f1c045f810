"""What can be known about an architecture before it runs: does anything but its attention connect tokens?"""

import inspect
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from learner.attention import packed
from learner.attention.layout import Layout, longest_sample
from learner.token_head import body_of
from learner.unsupported_model import CannotPack, UnsupportedModel

ATTENTION = {"full_attention", "sliding_attention", "chunked_attention", "attention"}
"""Types of layers in a config that connect tokens by attention."""
SEPARATE = {"mlp", "moe", "dense", "sparse"}
"""Types of layers in a config that do not connect tokens."""
_OWN_POSITIONS = "create_position_ids_from_input_ids"
"""Method of embeddings whose positions do not count from 0."""
LENGTH_DEPENDENT_ROPE = {"dynamic", "longrope"}
"""Rotary embeddings whose frequencies change with the longest position of a row."""


def refuse_unpackable(lm: Any) -> None:
    """Raises `CannotPack`, with a reason, if packed rows of `lm` would run as one sequence. `lm` uses `packed`."""
    if reason := _reason(lm):
        raise CannotPack(type(lm).__name__, reason)


def _reason(lm: Any) -> str | None:
    body = body_of(lm)
    if {c._attn_implementation for c in (lm.config, body.config)} != {packed.NAME}:
        return "its attention cannot be replaced"
    if missing := {"position_ids", "attention_mask"} - set(inspect.signature(type(body).forward).parameters):
        return f"its forward pass takes no {' and no '.join(sorted(missing))}"
    if numbering := [type(module).__name__ for module in body.modules() if hasattr(module, _OWN_POSITIONS)]:
        return f"{numbering[0]} numbers positions in its own way"
    if counting := [type(module).__name__ for module in body.modules() if _counts_places(module)]:
        return f"{counting[0]} counts positions from the beginning of the row"
    if types := _layer_types(lm.config) - ATTENTION - SEPARATE:
        return f"it has layers of type {', '.join(sorted(types))}"
    if convolutions := [name for name, module in lm.named_modules() if isinstance(module, nn.Conv1d)]:
        return f"a convolution connects neighbouring tokens ({convolutions[0]})"
    return None


def _counts_places(module: nn.Module) -> bool:
    """Whether a part of a model numbers the tokens itself, which is only seen in a row long enough for it to matter."""
    if isinstance(module, PreTrainedModel) or type(module).__module__.startswith("torch."):
        return False
    try:
        return "torch.arange(" in inspect.getsource(type(module).forward)
    except (OSError, TypeError):
        return False


def _layer_types(config: Any) -> set[str]:
    text = config.get_text_config()
    return {
        kind
        for name in ("layer_types", "layers_block_type", "block_types")
        for kind in getattr(text, name, None) or ()
        if isinstance(kind, str)
    }


def refuse_too_long(config: Any, layout: Layout) -> None:
    """Raises `UnsupportedModel` if a sample is so long that its length changes the rotary embedding of the row.

    The other samples of the row, and the engine, use the frequencies of shorter texts.
    """
    text = config.get_text_config()
    given = getattr(text, "rope_parameters", None) or {}
    for rope in (given, *(part for part in given.values() if isinstance(part, dict))):  # or one for a type of layers
        if rope.get("rope_type") not in LENGTH_DEPENDENT_ROPE:
            continue
        limit = rope.get("original_max_position_embeddings") or text.max_position_embeddings
        if longest_sample(layout) > limit:
            raise UnsupportedModel(
                f"a sample has {longest_sample(layout)} tokens, and beyond {limit} the rotary embedding of this model "
                f"({rope['rope_type']}) depends on the length of a text; keep actors.max_prompt_tokens + "
                f"actors.max_completion_tokens within {limit}"
            )
