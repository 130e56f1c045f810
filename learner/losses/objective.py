"""The objective of a row: policy loss, KL penalty and entropy bonus, summed over its tokens."""

from dataclasses import dataclass

import torch
from torch import Tensor

from conf.schema import LearnerSettings
from learner.batch_feed import Row
from learner.losses.aggregation import StepSize, token_shares
from learner.losses.luffy import luffy
from learner.losses.policy import POLICY_LOSSES, dual_clip, log_ratio_of
from learner.losses.regularizers import k3


@dataclass(frozen=True)
class RowLoss:
    """The loss of a row of N trained tokens."""

    total: Tensor
    """Scalar with gradient: the row's share of the step's loss."""
    log_ratio: Tensor
    """[N], no gradient: log of the ratio that the policy loss clips."""
    kl: Tensor
    """[N], no gradient: k3 of each token; zeros without a reference."""


def row_loss(
    row: Row, logprobs: Tensor, entropies: Tensor, settings: LearnerSettings, size: StepSize
) -> RowLoss:
    """The loss of a row; logprobs and entropies [N] are the policy's.

        sum of shares * (policy loss + kl_coef * k3 - entropy_coef * entropy)

    An off-policy token has the LUFFY loss and neither penalty nor bonus: both are defined on sampled tokens.
    """
    log_ratio = log_ratio_of(settings.policy_loss, logprobs, row.behaviour_logprobs, row.sequences)
    losses = POLICY_LOSSES[settings.policy_loss](
        logprobs, log_ratio, row.advantages, settings.ratio_min, settings.ratio_max
    )
    losses = dual_clip(losses, row.advantages, settings.dual_clip)
    kl = torch.zeros_like(logprobs)
    if settings.kl_coef > 0:
        assert row.reference_logprobs is not None, "preprocessing computes them whenever learner.kl_coef is set"
        kl = k3(logprobs, row.reference_logprobs)
        losses = losses + settings.kl_coef * kl
    if settings.entropy_coef > 0:
        assert entropies.requires_grad or not logprobs.requires_grad, "the policy was created without entropy_gradient"
        losses = losses - settings.entropy_coef * entropies
    if row.off_policy.any():
        losses = torch.where(row.off_policy, luffy(logprobs, row.advantages, settings.luffy_gamma), losses)
    shares = token_shares(settings.loss_aggregation, row.sequences, size)
    return RowLoss((losses * row.weights * shares).sum(), log_ratio.detach(), kl.detach())
