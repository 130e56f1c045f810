"""Packed attention against attention over each sample alone: windows, chunks, soft cap, sinks; what it refuses."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.masking_utils import (
    bidirectional_mask_function,
    causal_mask_function,
    chunked_causal_mask_function,
    sliding_window_causal_mask_function,
)

from learner.attention.layout import Layout
from learner.attention.packed import Implementation, PackedRow, packed_attention
from learner.attention.position_mask import PositionMask, packed_mask
from learner.unsupported_model import CannotPack

LAYOUT: Layout = ((3, (2, 4)), (5, (1,)), (1, (6, 2)))
SAMPLES = ((0, 3, 3, 5), (0, 3, 5, 9), (9, 14, 14, 15), (15, 16, 16, 22), (15, 16, 22, 24))
"""Begin and end of the prompt in the row, begin and end of the rollout."""
HEADS, KV_HEADS, SIZE = 4, 2, 8


class Config:
    """A stand-in for a config, whose class names the architecture in messages."""


class SomeAttention(nn.Module):
    """A stand-in for an attention module."""


def states() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(1, n, 24, SIZE, generator=generator) for n in (HEADS, KV_HEADS, KV_HEADS))  # type: ignore[return-value]


def mask(function: Any, **options: Any) -> PositionMask | None:
    return packed_mask(mask_function=function, config=Config(), q_length=24, **options)


def one_sample(query: Tensor, key: Tensor, value: Tensor, allowed: Tensor, cap: float | None, sinks: Any) -> Tensor:
    """Written out for each head. query [heads, T, D] -> [heads, T, D]."""
    outputs = []
    for head in range(HEADS):
        k, v = key[head * KV_HEADS // HEADS], value[head * KV_HEADS // HEADS]
        scores = query[head] @ k.T / SIZE**0.5
        if cap is not None:
            scores = cap * torch.tanh(scores / cap)
        weights = torch.where(allowed, scores.exp(), 0.0)
        total = weights.sum(-1, keepdim=True) + (0.0 if sinks is None else sinks[head].exp())
        outputs.append(weights / total @ v)
    return torch.stack(outputs)


@pytest.mark.parametrize("cap", [None, 0.5])
@pytest.mark.parametrize("sinks", [None, torch.tensor([0.1, -1.0, 2.0, 0.5])])
@pytest.mark.parametrize(
    ("function", "options"),
    [
        (causal_mask_function, {}),
        (sliding_window_causal_mask_function(3), {"local_size": 3}),
        (sliding_window_causal_mask_function(3), {}),
        (sliding_window_causal_mask_function(50), {"local_size": 50}),
        (chunked_causal_mask_function(4, torch.zeros(1, dtype=torch.int64)), {"local_size": 4}),
    ],
)
def test_each_sample_gets_the_attention_it_has_alone(
    function: Any, options: dict[str, int], cap: float | None, sinks: Tensor | None
) -> None:
    query, key, value = states()
    rule = mask(function, **options)
    row = PackedRow(LAYOUT)
    packed, _ = packed_attention(
        SomeAttention(), query, key, value, rule, packed_row=row, scaling=SIZE**-0.5, softcap=cap, s_aux=sinks
    )
    for begin, end, first, last in SAMPLES:
        places = [*range(begin, end), *range(first, last)]
        q, k, v = (part[0, :, places] for part in (query, key, value))
        positions = torch.arange(len(places))
        allowed = function(0, 0, positions[:, None], positions[None, :])
        alone = one_sample(q, k, v, allowed, cap, sinks).transpose(0, 1)
        torch.testing.assert_close(packed[0, places], alone, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"indices": torch.tensor([1])}, "its attention passes indices"),
        ({"position_bias": torch.zeros(1)}, "its attention passes position_bias"),
        ({"is_causal": False}, "is_causal=False"),
        ({"dropout": 0.1}, "dropout=0.1"),
        ({"sliding_window": 6}, "sliding_window=6 beside a causal mask"),
        ({"packed_row": None}, "does not hand the layout of a row to its attention"),
        ({"attention_mask": torch.zeros(1, 1, 24, 24)}, "builds an attention mask of its own"),
    ],
)
@pytest.mark.parametrize("implementation", ["pieces", "flex"])
def test_what_neither_honours_is_refused_by_name(
    arguments: dict[str, Any], reason: str, implementation: Implementation
) -> None:
    arguments = {"packed_row": PackedRow(LAYOUT, implementation), "attention_mask": None, **arguments}
    with pytest.raises(CannotPack, match=f"Some cannot run packed rows: .*{reason}.*learner.packing=off"):
        packed_attention(SomeAttention(), *states(), **arguments)


def test_arguments_that_change_nothing_are_taken() -> None:
    nothing = {"position_ids": torch.arange(24), "output_attentions": False, "head_mask": None, "sliding_window": 7}
    plain, _ = packed_attention(SomeAttention(), *states(), None, packed_row=PackedRow(LAYOUT))
    same, _ = packed_attention(SomeAttention(), *states(), None, packed_row=PackedRow(LAYOUT), **nothing)
    assert torch.equal(plain, same)


def test_a_mask_that_is_not_a_rule_of_positions_is_refused() -> None:
    with pytest.raises(CannotPack, match="attend to later tokens"):
        mask(bidirectional_mask_function)
    of_the_row = torch.arange(24) % 5
    with pytest.raises(CannotPack, match="the place of a token in the row"):
        mask(lambda b, h, q, k: (of_the_row[q] == of_the_row[k]) & (k <= q))
