"""The objective of a row: policy loss, KL penalty and entropy bonus, summed over its tokens."""

from dataclasses import dataclass

import torch
from torch import Tensor

from broker.errors import PluginFailed
from broker.weights import lag
from conf.schema import LearnerSettings
from learner.batch_feed import Row
from learner.losses.aggregation import WholeStep, token_shares
from learner.losses.luffy import luffy
from learner.losses.masks import MASKS_OF_SEQUENCES, kept
from learner.losses.policy import (
    OF_SEQUENCES,
    POLICY_LOSSES,
    dual_clip,
    gradient_weights,
    log_ratio_of,
    token_log_ratio,
)
from learner.losses.regularizers import k3
from learner.losses.user_loss import LossTokens, user_gradient_weights, user_losses


@dataclass(frozen=True)
class RowLoss:
    """The loss of a row of N trained tokens."""

    total: Tensor
    """Scalar with gradient: the row's share of the step's loss."""
    corrected: Tensor
    """bool [N]: the token's ratio is outside the bounds of the policy loss, or the token is masked."""
    gradient_weights: Tensor
    """[N], no gradient: factor of A grad log pi in the policy loss; the ratio where nothing is corrected, 0 where the
    token is masked or clipped."""
    kl: Tensor
    """[N], no gradient: k3 of each token; zeros without a reference."""


def row_loss(
    row: Row, logprobs: Tensor, entropies: Tensor, settings: LearnerSettings, whole: WholeStep
) -> RowLoss:
    """The loss of a row; logprobs and entropies [N] are the policy's.

        sum of shares * (mask * policy loss + kl_coef * k3 - entropy_coef * entropy)

    An off-policy token has the LUFFY loss and neither mask, penalty nor bonus: all are defined on sampled tokens.
    """
    losses, weights, corrected = _policy_losses(row, logprobs, settings, whole)
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
    shares = token_shares(settings.loss_aggregation, row.sequences, whole)
    return RowLoss((losses * row.weights * shares).sum(), corrected, weights, kl.detach())


@dataclass(frozen=True)
class StepObjective:
    """The objective of a step, row by row."""

    settings: LearnerSettings
    whole: WholeStep

    @property
    def couples_tokens(self) -> bool:
        """Whether the loss of a token depends on the log-probabilities of the other tokens of its rollout."""
        return self.settings.policy_loss in OF_SEQUENCES or self.settings.ratio_mask in MASKS_OF_SEQUENCES

    def of_row(self, row: Row, logprobs: Tensor, entropies: Tensor) -> RowLoss:
        """See `row_loss`. Raises PluginFailed when a loss of the user's is not finite while the policy is."""
        loss = row_loss(row, logprobs, entropies, self.settings, self.whole)
        name = self.settings.policy_loss
        if name not in POLICY_LOSSES and not loss.total.isfinite() and logprobs.isfinite().all():
            raise PluginFailed(f"learner.policy_loss={name} returned losses that are not finite; its input is finite")
        return loss

    def total(self, row: Row, logprobs: Tensor, entropies: Tensor) -> Tensor:
        """The loss of the row, a scalar."""
        return row_loss(row, logprobs, entropies, self.settings, self.whole).total


def _policy_losses(
    row: Row, logprobs: Tensor, settings: LearnerSettings, whole: WholeStep
) -> tuple[Tensor, Tensor, Tensor]:
    """(masked losses, gradient weights, whether the token is corrected), each [N]."""
    low, high, advantages = settings.ratio_min, settings.ratio_max, row.advantages
    token_ratio = token_log_ratio(logprobs.detach(), row.behaviour_logprobs)
    lags = lag(whole.version, row.versions)
    if settings.policy_loss in POLICY_LOSSES:
        losses, weights, fixed = _named_losses(row, logprobs, token_ratio, lags, settings)
    else:
        log_ratio = token_log_ratio(logprobs, row.behaviour_logprobs)
        tokens = LossTokens(logprobs, log_ratio, advantages, row.sequences, lags, low, high)
        losses, weights = user_losses(settings.policy_loss, tokens), user_gradient_weights(settings.policy_loss, tokens)
        fixed = token_ratio
    keep = kept(
        settings.ratio_mask,
        token_ratio,
        advantages,
        row.sequences,
        mask_min=settings.mask_min,
        mask_max=settings.mask_max,
        square_max=whole.square_max,
    )
    outside = (fixed.exp() < low) | (fixed.exp() > high)
    return losses * keep, weights * keep, outside | ~keep


def _named_losses(
    row: Row, logprobs: Tensor, token_ratio: Tensor, lags: Tensor, settings: LearnerSettings
) -> tuple[Tensor, Tensor, Tensor]:
    """(losses, gradient weights, log of the ratio that is bounded) of a loss of `POLICY_LOSSES`, each [N]."""
    name, low, high, advantages = settings.policy_loss, settings.ratio_min, settings.ratio_max, row.advantages
    log_ratio = log_ratio_of(name, logprobs, row.behaviour_logprobs, row.sequences, lags)
    losses = POLICY_LOSSES[name](logprobs, log_ratio, advantages, low, high)
    losses = dual_clip(losses, advantages, settings.dual_clip)
    fixed = log_ratio.detach()
    weights = gradient_weights(name, fixed, advantages, low, high, settings.dual_clip)
    if name == "decoupled_clip":
        behaviour_weights = (token_ratio - fixed).exp()  # pi_prox / pi_behaviour
        losses, weights = losses * behaviour_weights, weights * behaviour_weights
    return losses, weights, fixed
