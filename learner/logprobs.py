"""Log-probabilities of given tokens and their gradient, computed in chunks to bound the memory of the logits.

The logits of a step take tokens x vocabulary x 4 bytes: 39 GB for 64k response tokens and a vocabulary of 150k. Only
positions that predict a trained token are projected, one chunk at a time, and no logits are kept.

The gradient of a chunk needs its logits and the gradient of the loss with respect to each log-probability, which the
backward pass learns when the logits are gone. `ExpectedGradient` tells it in the forward pass, which then takes the
gradients of hidden states and parameters while it has the logits (as Liger does for cross entropy, arXiv 2410.10989,
section 3.2). It changes no result: the backward pass compares what was expected with what arrives, and computes the
logits again where they differ or nothing was expected.

With z the logits divided by the temperature T, p = softmax(z), y the token and H the entropy,

    d log p_y / d logit_j = (1[j = y] - p_j) / T        d H / d logit_j = -p_j (log p_j + H) / T
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.autograd.graph import get_gradient_edge

Head = Callable[[Tensor], Tensor]
"""hidden [n, H] -> float32 logits [n, V]. A token's logits depend on its hidden state only."""

CLOSE = 1e-6
"""Largest difference of expected and arriving gradient, relative to the largest entry."""


class ExpectedGradient(Protocol):
    """The gradient of the loss with respect to log-probabilities and entropies, before all of them are known."""

    @property
    def units(self) -> Sequence[int] | None:
        """Lengths of the stretches, in order, within which the loss of a token depends on the other tokens; None: it
        depends on none."""

    def __call__(self, tokens: slice, logprobs: Tensor, entropies: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients for these tokens, which are whole units. logprobs, entropies [N]: 0 after these tokens."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive tokens whose logits are computed together."""

    tokens: slice
    whole: bool
    """Whether the tokens are whole units; else they are a piece of one that is longer than a chunk."""


def chunks_of(num_tokens: int, units: Sequence[int] | None, chunk_tokens: int) -> list[Chunk]:
    """Chunks of at most `chunk_tokens` tokens, each of whole units, or a piece of a longer one."""
    if units is None:
        starts = range(0, num_tokens, chunk_tokens)
        return [Chunk(slice(start, min(start + chunk_tokens, num_tokens)), True) for start in starts]
    chunks: list[Chunk] = []
    start = 0
    for stop in torch.tensor(units).cumsum(0).tolist():
        last = chunks[-1] if chunks else None
        if stop - start > chunk_tokens:
            pieces = range(start, stop, chunk_tokens)
            chunks += [Chunk(slice(first, min(first + chunk_tokens, stop)), False) for first in pieces]
        elif last is not None and last.whole and stop - last.tokens.start <= chunk_tokens:
            chunks[-1] = Chunk(slice(last.tokens.start, stop), True)
        else:
            chunks.append(Chunk(slice(start, stop), True))
        start = stop
    return chunks


def chunked_logprobs(
    hidden: Tensor,
    targets: Tensor,
    head: Head,
    parameters: Sequence[Tensor],
    *,
    temperature: float,
    chunk_tokens: int,
    entropy_gradient: bool = False,
    expected: ExpectedGradient | None = None,
) -> tuple[Tensor, Tensor]:
    """hidden [N, H], targets [N] -> (log-probability of each target [N], entropy [N]), float32, nats.

    Both are of the distribution softmax(logits / temperature). `parameters`: those that the logits may depend on. The
    entropy has a gradient only with `entropy_gradient`.
    """
    expected = expected if torch.is_grad_enabled() else None
    chunks = chunks_of(len(targets), expected.units if expected else None, chunk_tokens)
    trained = tuple(p for p in parameters if p.requires_grad)
    plan = _Plan(head, trained, temperature, chunks, entropy_gradient, expected)
    logprobs, entropies = _Logprobs.apply(hidden, targets, plan, *trained)  # type: ignore[no-untyped-call]
    return logprobs, entropies


@dataclass(frozen=True)
class _Plan:
    head: Head
    parameters: tuple[Tensor, ...]
    temperature: float
    chunks: Sequence[Chunk]
    entropy_gradient: bool
    expected: ExpectedGradient | None

    def expects(self, chunk: Chunk) -> bool:
        """Whether the forward pass computes the gradients of this chunk."""
        return self.expected is not None and chunk.whole


class _Gradients:
    """Gradients of hidden states [N, H] and parameters, summed over chunks; sums are at least float32."""

    def __init__(self, hidden: Tensor) -> None:
        self.hidden = torch.zeros_like(hidden)
        self._sums: list[Tensor | None] = []

    def add(self, tokens: slice, of_hidden: Tensor, *of_parameters: Tensor | None) -> None:
        self.hidden[tokens] = of_hidden
        if self._sums:
            for total, gradient in zip(self._sums, of_parameters, strict=True):
                if total is not None and gradient is not None:
                    total += gradient
        else:
            self._sums = [None if gradient is None else gradient.to(_wide(gradient)) for gradient in of_parameters]

    def of(self, parameters: Sequence[Tensor]) -> list[Tensor | None]:
        return [None if total is None else total.to(p.dtype) for total, p in zip(self._sums, parameters, strict=True)]


class _Logprobs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, targets: Tensor, plan: _Plan, *_: Tensor) -> tuple[Tensor, Tensor]:
        logprobs, entropies, *expected = (hidden.new_zeros(len(targets), dtype=_wide(hidden)) for _ in range(4))
        gradients = _Gradients(hidden)
        for chunk in plan.chunks:
            tokens = chunk.tokens
            part = _Part(hidden[tokens], targets[tokens], plan, gradient=plan.expects(chunk))
            logprobs[tokens], entropies[tokens] = part.logprobs, part.entropies
            if plan.expected is not None and chunk.whole:
                for whole, gradient in zip(expected, plan.expected(tokens, logprobs, entropies), strict=True):
                    whole[tokens] = gradient
                gradients.add(tokens, *part.gradients(*(whole[tokens] for whole in expected)))
            del part  # before the next chunk needs its memory
        ctx.plan, ctx.expected, ctx.gradients = plan, expected, gradients
        ctx.save_for_backward(hidden, targets)
        if not plan.entropy_gradient:
            ctx.mark_non_differentiable(entropies)
        return logprobs, entropies

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *arrived: Tensor) -> tuple[Tensor | None, ...]:
        hidden, targets = ctx.saved_tensors
        plan: _Plan = ctx.plan
        gradients, ctx.gradients = ctx.gradients, None  # not kept, so that they become those of the leaves uncopied
        missing = [chunk for chunk in plan.chunks if not plan.expects(chunk)]
        used = slice(2 if plan.entropy_gradient else 1)
        if gradients is None or not _as_expected(ctx.expected[used], arrived[used], missing):
            gradients, missing = _Gradients(hidden), list(plan.chunks)
        for chunk in missing:
            tokens = chunk.tokens
            part = _Part(hidden[tokens], targets[tokens], plan, gradient=True)
            gradients.add(tokens, *part.gradients(*(whole[tokens] for whole in arrived)))
            del part
        return gradients.hidden, None, None, *gradients.of(plan.parameters)


class _Part:
    """The distributions of some tokens; `gradients` uses them up."""

    def __init__(self, hidden: Tensor, targets: Tensor, plan: _Plan, *, gradient: bool) -> None:
        self._plan, self._targets = plan, targets.unsqueeze(-1)
        with torch.set_grad_enabled(gradient):
            self._hidden = hidden.detach().requires_grad_(gradient)
            logits = plan.head(self._hidden)
        self._edge = get_gradient_edge(logits) if gradient else None  # of the logits, whose memory can be given back
        logits = logits.detach()
        self._log_p = torch.log_softmax(logits if plan.temperature == 1.0 else logits / plan.temperature, dim=-1)
        del logits
        self._p = self._log_p.exp()
        self.logprobs = self._log_p.gather(-1, self._targets).squeeze(-1)
        self.entropies = -torch.einsum("nv,nv->n", self._p, self._log_p)

    def gradients(self, of_logprobs: Tensor, of_entropies: Tensor) -> Sequence[Tensor]:
        """Of hidden states and parameters, from those of log-probabilities and entropies [n]."""
        g, e = (part.unsqueeze(-1) / self._plan.temperature for part in (of_logprobs, of_entropies))
        of_logits = self._p
        if self._plan.entropy_gradient:
            of_logits *= self._log_p.add_(self.entropies.unsqueeze(-1)).mul_(-e).sub_(g)
        else:
            of_logits *= -g
        of_logits.scatter_add_(-1, self._targets, g)
        del self._log_p
        assert self._edge is not None
        inputs = (self._hidden, *self._plan.parameters)
        return torch.autograd.grad(self._edge, inputs, of_logits, allow_unused=True)


def _as_expected(expected: Sequence[Tensor], arrived: Sequence[Tensor], missing: Sequence[Chunk]) -> bool:
    """Whether the gradients are those that were expected, leaving out the missing chunks. False for NaN."""
    differences = [a - b for a, b in zip(arrived, expected, strict=True)]
    for chunk in missing:
        for difference in differences:
            difference[chunk.tokens] = 0.0
    return all(bool(d.abs().max() <= CLOSE * a.abs().max()) for d, a in zip(differences, arrived, strict=True))


def _wide(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)
