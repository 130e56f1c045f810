"""The policy losses, token by token.

With w = pi(token) / pi_behaviour(token), A the advantage of the rollout and [lo, hi] absolute bounds of w:

    ppo_clip       -min(w A, clip(w, lo, hi) A)            eq. 2 of POPE
    truncated_is   -sg[clip(w, lo, hi)] A log pi(token)    PipelineRL

Inside the bounds both have the gradient -w A grad log pi. Above hi, eq. 2 has none for A > 0 and an unbounded one
for A < 0; the truncated form has hi times A grad log pi for both.

A step's loss is the sum over its trained tokens divided by their number, over all ranks: every token counts the same,
and the split into rows, micro-batches and ranks changes nothing.
"""

from collections.abc import Callable

import torch
from torch import Tensor

MAX_LOG_RATIO = 20.0
"""exp(20) is 5e8: beyond it a ratio says only that something is wrong, and exp must not overflow."""

PolicyLoss = Callable[[Tensor, Tensor, Tensor, float, float], Tensor]
"""(logprobs [N], behaviour_logprobs [N], advantages [N], ratio_min, ratio_max) -> loss [N]."""


def importance_ratio(logprobs: Tensor, behaviour_logprobs: Tensor) -> Tensor:
    """w = pi / pi_behaviour of each token, unclamped but for the overflow guard."""
    return torch.exp((logprobs - behaviour_logprobs).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO))


def ppo_clip(
    logprobs: Tensor, behaviour_logprobs: Tensor, advantages: Tensor, ratio_min: float, ratio_max: float
) -> Tensor:
    ratio = importance_ratio(logprobs, behaviour_logprobs)
    return -torch.minimum(ratio * advantages, ratio.clamp(ratio_min, ratio_max) * advantages)


def truncated_is(
    logprobs: Tensor, behaviour_logprobs: Tensor, advantages: Tensor, ratio_min: float, ratio_max: float
) -> Tensor:
    ratio = importance_ratio(logprobs, behaviour_logprobs).detach()
    return -ratio.clamp(ratio_min, ratio_max) * advantages * logprobs


POLICY_LOSSES: dict[str, PolicyLoss] = {"ppo_clip": ppo_clip, "truncated_is": truncated_is}
"""Name in the settings -> formula."""


def mean_over_step(token_losses: Tensor, weights: Tensor, num_step_tokens: int) -> Tensor:
    """This row's share of the step's loss; `num_step_tokens` counts the trained tokens of all rows of all ranks."""
    return (token_losses * weights).sum() / max(1, num_step_tokens)
