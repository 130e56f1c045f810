"""Attention of a packed row in one call of FlexAttention (arXiv 2412.05496): one compiled kernel a layer on a GPU.

The kernel skips blocks of 128 queries and 128 keys in which no query attends to a key. `BlockMasks` finds them from the
layout and the rule of a mask, once for all layers of a row. No GPU has run this: tests compare outputs and gradients
with `pieces.py` on a CPU, through torch's own reference of the kernel.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException
from torch.nn.attention.flex_attention import AuxRequest, BlockMask, flex_attention
from torch.nn.functional import pad

from learner.attention.layout import Layout, longest_sample, row_tokens
from learner.attention.position_mask import MaskRule, PositionMask
from learner.unsupported_model import UnsupportedModel

BLOCK = 128
"""Tokens of a block; rows are padded to a multiple, so that their lengths do not choose between kernels."""
MIN_BLOCKS = 2
"""torch.compile would make a program of its own for rows of a single block."""
MIN_HEAD_SIZE = 16
"""Smallest head of torch's kernels."""
_PAIRS = 2**26
"""Pairs of a query and a key that are looked at together: each intermediate result takes 64 MB."""
_PROGRAMS = 64
"""Compiled variants before torch gives up: types of mask and of head, times dtypes, with and without gradient."""


def can_run(query: Tensor) -> bool:
    """Whether there is a kernel with a backward pass for heads [1, heads, T, D] like these."""
    return query.device.type == "cuda" and query.shape[-1] >= MIN_HEAD_SIZE


class BlockMasks:
    """The block masks of one row, each built when a layer first asks for it."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._built: dict[PositionMask | None, BlockMask] = {}

    def of(self, mask: PositionMask | None, device: torch.device) -> BlockMask:
        """`mask`: None is causal. `device`: that of the row."""
        if mask is not None and mask.is_causal(longest_sample(self._layout)):
            mask = None
        if mask not in self._built:
            self._built[mask] = _block_mask(self._layout, _causal if mask is None else mask.rule, device)
        return self._built[mask]


def flex_attention_of_row(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    block_mask: BlockMask,
    *,
    scaling: float | None,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """query [1, heads, T, D], key and value [1, kv_heads, T, D] -> [1, heads, T, D].

    `softcap`, `sinks`: see `capped_attention`. Raises `UnsupportedModel` where it cannot be compiled.
    """
    tokens, length = query.shape[2], block_mask.shape[-1]
    query, key, value = (pad(states, (0, 0, 0, length - tokens)) for states in (query, key, value))
    options: dict[str, Any] = {
        "block_mask": block_mask,
        "scale": scaling,
        "enable_gqa": query.shape[1] != key.shape[1],
        "score_mod": None if softcap is None else _soft_cap(softcap, query.device),
    }
    with naming_compile_errors():
        if sinks is None:
            output: Tensor = _compiled()(query, key, value, **options)
        else:
            output, aux = _compiled()(query, key, value, **options, return_aux=AuxRequest(lse=True))
            # With z the sum of exp(score) over keys, a sink s takes exp(s) / (z + exp(s)) of the attention.
            kept = torch.sigmoid(aux.lse - sinks.float().view(1, -1, 1))
            output = (output * kept[..., None]).to(output.dtype)
    return output[:, :, :tokens]


@contextmanager
def naming_compile_errors() -> Iterator[None]:
    """Context of a forward or backward pass: what torch.compile raises becomes one line with the way back."""
    try:
        yield
    except (TorchDynamoException, FailOnRecompileLimitHit) as error:
        cause = getattr(error, "inner_exception", error)
        first = next((line.strip() for line in str(cause).splitlines() if line.strip()), "no message")
        raise UnsupportedModel(
            f"FlexAttention cannot be compiled for this model on this machine: {type(cause).__name__}: {first}; "
            "set learner.attention=pieces"
        ) from error


@cache
def _compiled() -> Callable[..., Any]:
    """Lengths become variables of the program at the second length that it sees."""
    compile_: Any = torch.compile  # whose annotations leave out recompile_limit
    kernel: Callable[..., Any] = compile_(flex_attention, fullgraph=True, recompile_limit=_PROGRAMS)
    return kernel


def _soft_cap(softcap: float, device: torch.device) -> Callable[..., Tensor]:
    # A tensor: torch.compile makes a variable of a second number, which the kernel could not take.
    cap = torch.full((), softcap, device=device)

    def capped(score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return cap * torch.tanh(score / cap)

    return capped


def _causal(batch: Any, head: Any, query: Tensor, key: Tensor) -> Tensor:
    return key <= query


def _block_mask(layout: Layout, rule: MaskRule, device: torch.device) -> BlockMask:
    """A query attends to the keys of its own piece, and of its prompt, that `rule` allows for their positions."""
    length = max(MIN_BLOCKS, -(-row_tokens(layout) // BLOCK)) * BLOCK
    piece, prompt, position = _places(layout, length, device)

    def allowed(batch: Any, head: Any, query: Tensor, key: Tensor) -> Tensor:
        of_sample = (piece[key] == piece[query]) | (piece[key] == prompt[query])
        within: Tensor = rule(batch, head, position[query], position[key])
        return of_sample & within

    some, all_ = _blocks(allowed, length, device)
    return BlockMask.from_kv_blocks(*_listed(some & ~all_), *_listed(all_), BLOCK_SIZE=BLOCK, mask_mod=allowed)


def _places(layout: Layout, length: int, device: torch.device) -> list[Tensor]:
    """Three int32 [length]: number of the token's piece (a prompt or a rollout), of its prompt, position in its sample.

    Padding is a prompt of its own: what it computes is cut off, and is a number.
    """
    pieces: list[tuple[int, int, int]] = []  # tokens, number of the prompt, position of the first token
    for prompt_tokens, rollouts in (*layout, (length - row_tokens(layout), ())):
        number = len(pieces)
        pieces.append((prompt_tokens, number, 0))
        pieces.extend((tokens, number, prompt_tokens) for tokens in rollouts)
    sizes, prompts, starts = torch.tensor(pieces).unbind(1)
    piece = torch.arange(len(pieces)).repeat_interleave(sizes)
    position = torch.arange(length) - (sizes.cumsum(0) - sizes - starts)[piece]
    return [part.to(device, torch.int32) for part in (piece, prompts[piece], position)]


def _blocks(allowed: MaskRule, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Two bool [blocks of queries, blocks of keys]: is any, is every pair of a query and a key allowed?"""
    places = torch.arange(length, device=device)
    some, all_ = [], []
    for queries in places.split(max(1, _PAIRS // (length * BLOCK)) * BLOCK):
        pairs = allowed(0, 0, queries[:, None], places[None, :]).view(-1, BLOCK, length // BLOCK, BLOCK)
        some.append(pairs.any(3).any(1))
        all_.append(pairs.all(3).all(1))
    return torch.cat(some), torch.cat(all_)


def _listed(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """bool [n, m] -> int32 [1, 1, n], [1, 1, n, m]: how many blocks of a row are true, and all, those first."""
    numbers = blocks.int().argsort(dim=-1, descending=True, stable=True)
    return blocks.sum(-1, dtype=torch.int32)[None, None], numbers.to(torch.int32)[None, None]
