"""Statistics of the tokens of a step."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from conf.schema import LearnerSettings
from learner.batch_feed import Row, filler_row
from learner.losses.aggregation import WholeStep
from learner.losses.objective import RowLoss, row_loss
from learner.ranks import Ranks
from learner.token_statistics import TokenSums, lag_histogram

ALONE = Ranks(0, 1, torch.device("cpu"))


def row_of(ratios: list[float], weights: list[float], off_policy: list[bool] | None = None) -> tuple[torch.Tensor, Row]:
    """(logprobs, row) with the given ratios."""
    old = torch.full((len(ratios),), -2.0)
    outside = torch.tensor(off_policy or [False] * len(ratios))
    row = replace(filler_row(), behaviour_logprobs=old, weights=torch.tensor(weights), off_policy=outside)
    return old + torch.tensor(ratios).log(), row


def loss_of(row: Row, logprobs: torch.Tensor, loss: float, kl: float = 0.0) -> RowLoss:
    """As if ratios were truncated at 5, and those below 1/2 masked."""
    ratio = (logprobs - row.behaviour_logprobs).exp()
    weights = torch.where(ratio < 0.5, 0.0, ratio.clamp(max=5.0))
    return RowLoss(torch.tensor(loss), (ratio < 0.5) | (ratio > 5.0), weights, torch.full_like(logprobs, kl))


def test_the_statistics_by_hand() -> None:
    sums = TokenSums(LearnerSettings(kl_coef=0.1))
    for ratios, weights in (([1.0, 2.0], [1.0, 1.0]), ([0.25, 8.0, 1e6], [1.0, 1.0, 0.0])):
        new, row = row_of(ratios, weights)
        sums.add(row, new, torch.full_like(new, 0.5), loss_of(row, new, 0.1, kl=0.25))
    got = sums.reduce(ALONE)
    w = np.asarray([1, 2, 0.25, 8])
    assert got.num_tokens == 4
    assert got.ess == pytest.approx(w.sum() ** 2 / (4 * (w**2).sum()), rel=1e-5)
    assert got.clip_share == 0.5  # 0.25 and 8
    assert got.ess_corrected == pytest.approx((1 + 2 + 0 + 5) ** 2 / (4 * (1 + 4 + 0 + 25)), rel=1e-5)
    assert got.ratio_max == pytest.approx(8, rel=1e-5)
    assert got.ratio_mean == pytest.approx(w.mean(), rel=1e-5)
    assert got.entropy_mean == pytest.approx(0.5)
    assert got.logprob_rms == pytest.approx(math.sqrt((np.log(w) ** 2).mean()), rel=1e-5)
    assert got.loss == pytest.approx(0.2)
    assert got.kl_mean == pytest.approx(0.25)


def test_an_oracle_is_in_the_loss_and_in_no_statistic() -> None:
    sums = TokenSums(LearnerSettings())
    new, row = row_of([1.0, 1.0, 1e3], [1.0, 1.0, 1.0], [False, False, True])
    sums.add(row, new, torch.tensor([0.5, 0.5, 9.0]), loss_of(row, new, 0.7))
    got = sums.reduce(ALONE)
    assert (got.num_tokens, got.clip_share, got.kl_mean) == (2, 0.0, None)
    assert (got.ess, got.ratio_max) == (pytest.approx(1.0), pytest.approx(1.0))
    assert (got.loss, got.entropy_mean) == (pytest.approx(0.7), pytest.approx(0.5))


def test_clipping_is_counted_by_the_ratio_the_loss_clips() -> None:
    gspo = LearnerSettings(policy_loss="gspo", ratio_min=0.9, ratio_max=1.1, loss_aggregation="sequence_mean")
    new, row = row_of([4.0, 0.25], [1.0, 1.0])
    row = replace(row, advantages=torch.ones(2), sequences=torch.zeros(2, dtype=torch.int64), versions=torch.zeros(2))
    sums = TokenSums(gspo)
    sums.add(row, new, torch.zeros(2), row_loss(row, new, torch.zeros(2), gspo, WholeStep(2, 1, 2)))
    got = sums.reduce(ALONE)
    assert (got.clip_share, got.ess_corrected) == (0.0, pytest.approx(1.0)), "the geometric mean is 1"
    assert got.ess == pytest.approx(4.25**2 / (2 * 16.0625))


def test_a_step_that_masks_everything_has_no_effective_sample() -> None:
    sums = TokenSums(LearnerSettings())
    new, row = row_of([0.25, 0.1], [1.0, 1.0])
    sums.add(row, new, torch.zeros(2), loss_of(row, new, 0.0))
    got = sums.reduce(ALONE)
    assert (got.clip_share, got.ess_corrected) == (1.0, 0.0)


def test_equal_ratios_have_a_full_sample_size() -> None:
    sums = TokenSums(LearnerSettings())
    new, row = row_of([3.0] * 7, [1.0] * 7)
    sums.add(row, new, torch.zeros(7), loss_of(row, new, 0.0))
    assert sums.reduce(ALONE).ess == pytest.approx(1.0)


def test_a_step_without_tokens_has_finite_statistics() -> None:
    sums = TokenSums(LearnerSettings())
    sums.add(filler_row(), torch.zeros(1), torch.zeros(1), loss_of(filler_row(), torch.zeros(1), 0.0))
    got = sums.reduce(ALONE)
    assert (got.num_tokens, got.ess, got.clip_share, got.logprob_rms) == (0, 0.0, 0.0, 0.0)


def test_the_histogram_of_lags() -> None:
    assert lag_histogram(np.asarray([2, 0, 0, 5])) == {0: 2, 2: 1, 5: 1}
    assert lag_histogram(np.zeros(0, dtype=np.int32)) == {}
