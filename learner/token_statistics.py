"""Statistics over the tokens of one optimizer step: summed on each rank, reduced once."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from conf.schema import LearnerSettings
from learner.batch_feed import Row
from learner.losses.objective import RowLoss
from learner.losses.policy import token_log_ratio
from learner.ranks import Ranks


@dataclass(frozen=True)
class TokenStatistics:
    """Statistics over the trained tokens of a step that were sampled from the policy."""

    loss: float
    """Loss of the whole step, oracle solutions included."""
    num_tokens: int
    ess: float
    """Effective sample size, (sum w)^2 / (n sum w^2), of the unclamped ratios; 1 when all ratios are equal."""
    ess_corrected: float
    """The same of the weights that the gradient has after clipping, truncation and masking; 0 when all are 0."""
    clip_share: float
    """Share of the tokens that are masked, or whose ratio, as the policy loss bounds it, is outside the bounds."""
    ratio_max: float
    ratio_mean: float
    entropy_mean: float
    """nats per token, at the sampling temperature."""
    logprob_rms: float
    """Root mean square of log pi - log pi_behaviour, nats: at lag 0 the disagreement of engine and learner."""
    kl_mean: float | None
    """k3 estimate of KL(pi || reference), nats per token; None without a KL term."""


class TokenSums:
    """Sums over rows; `reduce` turns the sums of all ranks into statistics."""

    def __init__(self, settings: LearnerSettings) -> None:
        self._settings = settings
        self._sums = torch.zeros(10, dtype=torch.float64)
        self._max = torch.zeros(1, dtype=torch.float64)

    def add(self, row: Row, logprobs: Tensor, entropies: Tensor, loss: RowLoss) -> None:
        """Adds one row and its loss."""
        trained = (row.weights > 0) & ~row.off_policy
        new, old = logprobs.detach()[trained].double(), row.behaviour_logprobs[trained].double()
        ratio, weights = token_log_ratio(new, old).exp(), loss.gradient_weights[trained].double()
        self._sums += torch.stack(
            [
                loss.total.detach().double(),
                trained.sum().double(),
                ratio.sum(),
                ratio.square().sum(),
                weights.sum(),
                weights.square().sum(),
                loss.corrected[trained].sum().double(),
                entropies.detach()[trained].double().sum(),
                (new - old).square().sum(),
                loss.kl[trained].double().sum(),
            ]
        ).cpu()
        if len(ratio):
            self._max = torch.maximum(self._max, ratio.max().cpu().reshape(1))

    def reduce(self, ranks: Ranks) -> TokenStatistics:
        """The statistics of the step. Called on all ranks."""
        loss, count, w, w2, c, c2, corrected, entropy, square, kl = ranks.sum(self._sums).tolist()
        n = max(count, 1.0)
        return TokenStatistics(
            loss=loss,
            num_tokens=int(count),
            ess=w * w / (n * w2) if w2 else 0.0,
            ess_corrected=c * c / (n * c2) if c2 else 0.0,
            clip_share=corrected / n,
            ratio_max=ranks.max(self._max).item(),
            ratio_mean=w / n,
            entropy_mean=entropy / n,
            logprob_rms=(square / n) ** 0.5,
            kl_mean=kl / n if self._settings.kl_coef > 0 else None,
        )


def lag_histogram(lags: np.ndarray) -> dict[int, int]:
    """Lag in optimizer steps -> number of tokens, ascending."""
    values, counts = np.unique(lags, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))
