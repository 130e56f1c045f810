"""The policy losses by name, token by token.

With w = pi(token) / pi_behaviour(token), A the advantage of the rollout, [lo, hi] absolute bounds of the ratio and sg
stop-gradient:

    ppo_clip      -min(w A, clip(w, lo, hi) A)           POPE eq. 2; clip-higher of DAPO (arXiv 2503.14476, eq. 10) is
                                                         this with lo = 0.8, hi = 1.28; verl's has `dual_clip`, too
    truncated_is  -sg[min(w, hi)] A log pi(token)        PipelineRL (arXiv 2509.19128)
    cispo         -sg[clip(w, lo, hi)] A log pi(token)   MiniMax-M1 (arXiv 2506.13585) eq. 4 and 5
    gspo          -min(s A, clip(s, lo, hi) A)           GSPO (arXiv 2507.18071) eq. 5 and 7; s = exp(mean of log w over
                                                         the sequence), lo = 1 - 3e-4, hi = 1 + 4e-4

Inside the bounds the first three have the gradient -w A grad log pi. Above hi, eq. 2 has none for A > 0 and an
unbounded one for A < 0; the other two have -hi A grad log pi for both. `cispo` with lo = 0 is `truncated_is`; in
practice CISPO's bounds lie around 1. `gspo` gives every token the loss of its sequence, so the mean over tokens, then
sequences, is eq. 5 and has the gradient of eq. 10, -s A mean of grad log pi.
"""

from collections.abc import Callable

import torch
from torch import Tensor

MAX_LOG_RATIO = 20.0
"""Clamp of the log ratio, so that exp does not overflow; exp(20) is 5e8, far beyond any valid ratio."""

PolicyLoss = Callable[[Tensor, Tensor, Tensor, float, float], Tensor]
"""(log pi [N], log ratio [N], advantages [N], ratio_min, ratio_max) -> loss [N]."""


def token_log_ratio(logprobs: Tensor, behaviour_logprobs: Tensor) -> Tensor:
    """log w [N], clamped against overflow."""
    return (logprobs - behaviour_logprobs).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)


def sequence_log_ratio(logprobs: Tensor, behaviour_logprobs: Tensor, sequences: Tensor) -> Tensor:
    """log s [N]: the mean of log w over the token's sequence; sequences [N] numbers them from 0."""
    log_ratio = token_log_ratio(logprobs, behaviour_logprobs)
    sums = log_ratio.new_zeros(int(sequences.max()) + 1).index_add(0, sequences, log_ratio)
    return (sums / sequences.bincount().clamp(min=1))[sequences]


def ppo_clip(
    logprobs: Tensor, log_ratio: Tensor, advantages: Tensor, ratio_min: float, ratio_max: float
) -> Tensor:
    ratio = log_ratio.exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(ratio_min, ratio_max) * advantages)


def dual_clip(losses: Tensor, advantages: Tensor, bound: float | None) -> Tensor:
    """The losses of `ppo_clip`, [N], where A < 0 at most -bound A: dual-clip PPO (arXiv 1912.09729) eq. 5, bound > 1.

    Eq. 2 bounds the ratio from above only where A > 0. A token with A < 0 and w > bound gets no gradient here.
    """
    if bound is None:
        return losses
    return torch.where(advantages < 0, torch.minimum(losses, -bound * advantages), losses)


def cispo(logprobs: Tensor, log_ratio: Tensor, advantages: Tensor, ratio_min: float, ratio_max: float) -> Tensor:
    return -log_ratio.detach().exp().clamp(ratio_min, ratio_max) * advantages * logprobs


def truncated_is(
    logprobs: Tensor, log_ratio: Tensor, advantages: Tensor, ratio_min: float, ratio_max: float
) -> Tensor:
    """`ratio_min` is 0: `conf/rules/objective.py` rejects any other value."""
    return -log_ratio.detach().exp().clamp(max=ratio_max) * advantages * logprobs


POLICY_LOSSES: dict[str, PolicyLoss] = {
    "ppo_clip": ppo_clip,
    "truncated_is": truncated_is,
    "cispo": cispo,
    "gspo": ppo_clip,
}
"""Name in the settings -> formula. GSPO clips the ratio of whole sequences as eq. 2 clips that of tokens."""


def log_ratio_of(
    policy_loss: str, logprobs: Tensor, behaviour_logprobs: Tensor, sequences: Tensor
) -> Tensor:
    """Log of the ratio that the loss of this name clips, float32 [N]."""
    if policy_loss == "gspo":
        return sequence_log_ratio(logprobs, behaviour_logprobs, sequences)
    return token_log_ratio(logprobs, behaviour_logprobs)
