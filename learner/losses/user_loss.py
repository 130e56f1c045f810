"""A policy loss of the user: `learner.policy_loss=package.module:Name`."""

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from broker.errors import PluginFailed
from conf.plugins import load, told


@dataclass(frozen=True)
class LossTokens:
    """What a policy loss is computed from: N trained tokens of one packed row, whole rollouts of several prompts."""

    logprobs: Tensor
    """float32 [N], nats, with gradient: log pi of each token under the policy that is trained."""
    log_ratio: Tensor
    """float32 [N], with gradient: log w = log pi - log pi_behaviour, clamped to +-20 so that exp does not overflow."""
    advantages: Tensor
    """float32 [N]: advantage of the token's rollout."""
    sequences: Tensor
    """int64 [N]: number of the token's rollout in the row, from 0."""
    lags: Tensor
    """int64 [N], optimizer steps: by how much the policy is newer than the one that sampled the token."""
    ratio_min: float
    """`learner.ratio_min`."""
    ratio_max: float
    """`learner.ratio_max`."""


class PolicyLossFunction(Protocol):
    """`learner.policy_loss=package.module:Name`.

    Called several times for every row of every step, in each rank: to tell the head the gradient before the
    log-probabilities of the whole row are known (those that are not known are 0), for the loss, and for the statistics.
    So it must be a function of its argument alone.
    """

    def __call__(self, tokens: LossTokens) -> Tensor:
        """The loss of each token, [N], with gradient through `logprobs` or `log_ratio`. Aggregation, masks, KL penalty
        and entropy bonus are applied to it as to every other loss."""


def user_losses(path: str, tokens: LossTokens) -> Tensor:
    """The losses [N] of the user's function. Raises PluginFailed when it fails, or returns no tensor [N]."""
    function: PolicyLossFunction = load("learner.policy_loss", path)
    try:
        losses = function(tokens)
    except Exception as error:  # the user's code may raise anything
        raise PluginFailed(f"learner.policy_loss={path} failed: {told(error)}") from error
    if not isinstance(losses, Tensor) or losses.shape != tokens.logprobs.shape or not losses.is_floating_point():
        shape = f"{losses.dtype} {list(losses.shape)}" if isinstance(losses, Tensor) else type(losses).__name__
        raise PluginFailed(
            f"learner.policy_loss={path} returned {shape} for {len(tokens.logprobs)} tokens; return one loss a token, "
            f"float32 [{len(tokens.logprobs)}]"
        )
    return losses


def user_gradient_weights(path: str, tokens: LossTokens) -> Tensor:
    """c [N], where the gradient of the loss is -c A grad log pi; the ratio where A = 0. For the statistics.

    The derivative by the log-probability of a token is taken from autograd, through all losses that depend on it.
    """
    leaf = tokens.logprobs.detach().requires_grad_()
    with torch.enable_grad():
        offset = tokens.log_ratio.detach() - tokens.logprobs.detach()
        losses = user_losses(path, replace(tokens, logprobs=leaf, log_ratio=leaf + offset))
    if not losses.requires_grad:
        raise PluginFailed(
            f"learner.policy_loss={path} returned losses without a gradient; compute them from tokens.logprobs or "
            "tokens.log_ratio, and detach only factors"
        )
    (gradient,) = torch.autograd.grad(losses.sum(), leaf)
    trained = tokens.advantages != 0
    divisors = torch.where(trained, tokens.advantages, 1.0)
    return torch.where(trained, -gradient / divisors, tokens.log_ratio.detach().exp())
