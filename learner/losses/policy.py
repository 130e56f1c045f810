"""The policy losses by name, token by token.

With w = pi(token) / pi_behaviour(token), A the advantage of the rollout, [lo, hi] absolute bounds of the ratio and sg
stop-gradient:

    ppo_clip        -min(w A, clip(w, lo, hi) A)           POPE eq. 2; clip-higher of DAPO (arXiv 2503.14476, eq. 10) is
                                                           this with lo = 0.8, hi = 1.28; verl's has `dual_clip`, too
    truncated_is    -sg[min(w, hi)] A log pi(token)        PipelineRL (arXiv 2509.19128)
    cispo           -sg[clip(w, lo, hi)] A log pi(token)   MiniMax-M1 (arXiv 2506.13585) eq. 4 and 5
    gspo            -min(s A, clip(s, lo, hi) A)           GSPO (arXiv 2507.18071) eq. 5 and 7; s = exp(mean of log w
                                                           over the sequence), lo = 1 - 3e-4, hi = 1 + 4e-4
    sequence_is     -sg[min(p, hi)] A log pi(token)        Seq-TIS of Liu and Li et al. ("When Speed Kills Stability",
                                                           2025); p = product of w over the sequence
    decoupled_clip  -sg[v] min(r A, clip(r, lo, hi) A)     AReaL (arXiv 2505.24298) eq. 5 with the proximal policy of
                                                           A-3PO (arXiv 2512.06547); r = pi / sg[pi_prox],
                                                           v = pi_prox / pi_behaviour

Inside the bounds all but the two of whole sequences have the gradient -w A grad log pi. Above hi, eq. 2 has none for
A > 0 and an unbounded one for A < 0; the truncated forms have -hi A grad log pi for both. `cispo` with lo = 0 is
`truncated_is`; in practice CISPO's bounds lie around 1. `gspo` gives every token the loss of its sequence, so the mean
over tokens, then sequences, is eq. 5 and has the gradient of eq. 10, -s A mean of grad log pi. The weight p is that of
the whole rollout, the only one without bias before it is truncated, and its variance grows with the length.

AReaL's pi_prox is the policy before the optimizer steps of a batch. Here a batch is one step, in which that is pi
itself, and nothing would ever be clipped. A-3PO interpolates instead, by the lag d of the token:

    log pi_prox = (1/d) log pi_behaviour + (1 - 1/d) log pi    (d = 0: pi_prox = pi)

so that r = w^(1/d). A token of lag 1 is clipped as by `ppo_clip`, one of lag d where w leaves [lo^d, hi^d]: the trust
region is one optimizer step wide for each step of lag.
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


def sequence_log_sum(log_ratio: Tensor, sequences: Tensor) -> Tensor:
    """log p [N]: the sum of log w [N] over the token's sequence, clamped; sequences [N] numbers them from 0."""
    sums = log_ratio.new_zeros(int(sequences.max()) + 1).index_add(0, sequences, log_ratio)
    return sums.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)[sequences]


def sequence_log_mean(log_ratio: Tensor, sequences: Tensor) -> Tensor:
    """log s [N]: the mean of log w [N] over the token's sequence; sequences [N] numbers them from 0."""
    sums = log_ratio.new_zeros(int(sequences.max()) + 1).index_add(0, sequences, log_ratio)
    return (sums / sequences.bincount().clamp(min=1))[sequences]


def proximal_logprobs(logprobs: Tensor, behaviour_logprobs: Tensor, lags: Tensor) -> Tensor:
    """log pi_prox [N] of A-3PO, without gradient. lags [N]: optimizer steps, >= 0."""
    share = torch.where(lags > 0, 1.0 / lags.clamp(min=1), 0.0)
    new = logprobs.detach()
    return new - share * token_log_ratio(new, behaviour_logprobs)


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
    "sequence_is": truncated_is,
    "decoupled_clip": ppo_clip,
}
"""Name in the settings -> formula of the ratio that `log_ratio_of` gives. What eq. 2 clips is the ratio of a token, of
a sequence, or to the proximal policy; `row_loss` multiplies the last by sg[v]."""
OF_SEQUENCES = ("gspo", "sequence_is")
"""Those on the ratio of a sequence."""


def log_ratio_of(
    policy_loss: str, logprobs: Tensor, behaviour_logprobs: Tensor, sequences: Tensor, lags: Tensor
) -> Tensor:
    """Log of the ratio that the loss of this name clips or truncates, float32 [N]. lags [N]: optimizer steps."""
    if policy_loss == "decoupled_clip":
        return token_log_ratio(logprobs, proximal_logprobs(logprobs, behaviour_logprobs, lags))
    log_ratio = token_log_ratio(logprobs, behaviour_logprobs)
    if policy_loss == "gspo":
        return sequence_log_mean(log_ratio, sequences)
    if policy_loss == "sequence_is":
        return sequence_log_sum(log_ratio, sequences)
    return log_ratio


def gradient_weights(
    policy_loss: str,
    log_ratio: Tensor,
    advantages: Tensor,
    ratio_min: float,
    ratio_max: float,
    dual_bound: float | None,
) -> Tensor:
    """c [N], where the gradient of the loss is -c A grad log pi: the truncated ratio, or 0 where the ratio is clipped.

    For `gspo`, grad log pi is the mean over the sequence; for `decoupled_clip`, c is to be multiplied by v.
    """
    ratio = log_ratio.exp()
    if POLICY_LOSSES[policy_loss] is not ppo_clip:
        return ratio.clamp(ratio_min, ratio_max)
    above = ratio > ratio_max
    if dual_bound is not None:
        above = torch.where(advantages < 0, ratio > dual_bound, above)
    else:
        above &= advantages > 0
    return torch.where(above | ((advantages < 0) & (ratio < ratio_min)), 0.0, ratio)
