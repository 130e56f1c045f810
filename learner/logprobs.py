"""Log-probabilities of given tokens, computed in chunks to bound the memory of the logits.

The logits of a step take tokens x vocabulary x 4 bytes: 39 GB for 64k response tokens and a vocabulary of 150k. Only
positions that predict a trained token are projected, one chunk at a time; the backward pass recomputes each chunk.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

Head = Callable[[Tensor], Tensor]
"""hidden [n, H] -> float32 logits [n, V]."""


def chunked_logprobs(
    hidden: Tensor,
    targets: Tensor,
    head: Head,
    *,
    temperature: float,
    chunk_tokens: int,
    entropy_gradient: bool = False,
) -> tuple[Tensor, Tensor]:
    """hidden [N, H], targets [N] -> (log-probability of each target [N], entropy [N]), float32, nats.

    Both are of the distribution softmax(logits / temperature). The entropy has a gradient only with `entropy_gradient`,
    because its backward pass needs a second array of logits.
    """
    chunks = list(zip(hidden.split(chunk_tokens), targets.split(chunk_tokens), strict=True))
    if len(chunks) == 1:
        return _chunk(hidden, targets, head, temperature, entropy_gradient)
    results = [checkpoint(_chunk, h, t, head, temperature, entropy_gradient, use_reentrant=False) for h, t in chunks]
    logprobs, entropies = zip(*results, strict=True)
    return torch.cat(logprobs), torch.cat(entropies)


def _chunk(
    hidden: Tensor, targets: Tensor, head: Head, temperature: float, entropy_gradient: bool
) -> tuple[Tensor, Tensor]:
    logits = head(hidden) / temperature
    log_all = torch.log_softmax(logits, dim=-1)
    logprobs = log_all.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    with torch.set_grad_enabled(entropy_gradient and torch.is_grad_enabled()):
        entropy = -(log_all.exp() * log_all).sum(dim=-1)
    return logprobs, entropy
