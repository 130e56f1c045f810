"""What one optimizer step looked like, token by token: sums on each rank, reduced once."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from learner.batch_feed import Row
from learner.losses import importance_ratio
from learner.ranks import Ranks


@dataclass(frozen=True)
class TokenStatistics:
    """Of all trained tokens of a step."""

    loss: float
    num_tokens: int
    ess: float
    """Effective sample size, (sum w)^2 / (n sum w^2), of the unclamped ratios; 1 when all ratios are equal."""
    clip_share: float
    """Share of tokens whose ratio lies outside the bounds."""
    ratio_max: float
    ratio_mean: float
    entropy_mean: float
    """nats a token, at the sampling temperature."""
    logprob_rms: float
    """Root mean square of log pi - log pi_behaviour, nats: at lag 0 the disagreement of engine and learner."""


class TokenSums:
    """Adds up rows; `reduce` turns the sums of all ranks into statistics."""

    def __init__(self, ratio_min: float, ratio_max: float) -> None:
        self._bounds = ratio_min, ratio_max
        self._sums = torch.zeros(7, dtype=torch.float64)
        self._max = torch.zeros(1, dtype=torch.float64)

    def add(self, row: Row, logprobs: Tensor, entropies: Tensor, loss: Tensor) -> None:
        """One row; `loss` is its share of the step's loss."""
        trained = row.weights > 0
        new, old = logprobs.detach()[trained].double(), row.behaviour_logprobs[trained].double()
        ratio = importance_ratio(new, old)
        low, high = self._bounds
        self._sums += torch.stack(
            [
                loss.detach().double(),
                trained.sum().double(),
                ratio.sum(),
                ratio.square().sum(),
                ((ratio < low) | (ratio > high)).sum().double(),
                entropies.detach()[trained].double().sum(),
                (new - old).square().sum(),
            ]
        ).cpu()
        if len(ratio):
            self._max = torch.maximum(self._max, ratio.max().cpu().reshape(1))

    def reduce(self, ranks: Ranks) -> TokenStatistics:
        """Called on all ranks."""
        loss, count, w, w2, clipped, entropy, square = ranks.sum(self._sums).tolist()
        n = max(count, 1.0)
        return TokenStatistics(
            loss=loss,
            num_tokens=int(count),
            ess=w * w / (n * w2) if w2 else 0.0,
            clip_share=clipped / n,
            ratio_max=ranks.max(self._max).item(),
            ratio_mean=w / n,
            entropy_mean=entropy / n,
            logprob_rms=(square / n) ** 0.5,
        )


def watched_ratios(
    row: Row, logprobs: Tensor, watched: Collection[tuple[int, int]]
) -> dict[tuple[int, int], list[float]]:
    """(ordinal, completion) -> importance ratio of each of its tokens, of the watched rollouts in a row."""
    found = {}
    start = 0
    for ordinal, index, num_tokens in row.rollouts:
        span = slice(start, start + num_tokens)
        if (ordinal, index) in watched:
            ratio = importance_ratio(logprobs.detach()[span].float(), row.behaviour_logprobs[span])
            found[ordinal, index] = ratio.tolist()
        start += num_tokens
    return found


def lag_histogram(lags: np.ndarray) -> dict[int, int]:
    """Age in optimizer steps -> tokens of that age, ascending."""
    values, counts = np.unique(lags, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))
