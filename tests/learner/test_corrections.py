"""Off-policy corrections: numbers by hand, the slow reference in value and gradient, and what they are at ratio 1."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from torch import Tensor

from conf.schema import LearnerSettings
from learner.batch_feed import Row, filler_row
from learner.delayed_weights import DelayedWeights
from learner.losses.aggregation import WholeStep
from learner.losses.masks import moves_away, second_moment_threshold
from learner.losses.objective import RowLoss, row_loss
from learner.losses.policy import proximal_logprobs, token_log_ratio
from learner.step import scheduled_rate
from tests.learner.slow_losses import Token, slow_losses, slow_mask

VERSION = 7
"""The version that the step updates."""
BOUNDS: dict[str, dict[str, Any]] = {
    "ppo_clip": {"ratio_min": 0.8, "ratio_max": 1.28},
    "truncated_is": {"ratio_max": 1.5},
    "cispo": {"ratio_min": 0.7, "ratio_max": 1.28},
    "gspo": {"ratio_min": 0.9, "ratio_max": 1.1},
    "sequence_is": {"ratio_max": 2.0},
    "decoupled_clip": {"ratio_min": 0.8, "ratio_max": 1.2},
}
MASKS: dict[str, dict[str, Any]] = {
    "none": {},
    "token": {"mask_min": 0.6, "mask_max": 1.8},
    "sequence": {"mask_min": 0.5, "mask_max": 3.0},
    "sequence_mean": {"mask_min": 0.8, "mask_max": 1.2},
    "second_moment": {"second_moment_max": 0.2},
}
COMBINATIONS = [
    (loss, mask)
    for loss in BOUNDS
    for mask in MASKS
    if not (loss in ("gspo", "sequence_is") and mask in ("token", "second_moment"))  # refused by conf/rules
]


def chosen(policy_loss: str, ratio_mask: str = "none", **more: Any) -> LearnerSettings:
    """With losses that are summed, so that a token's gradient is that of its loss."""
    given = {"loss_aggregation": "sequence_sum", "ratio_mask": ratio_mask, **BOUNDS[policy_loss], **MASKS[ratio_mask]}
    return LearnerSettings(policy_loss=policy_loss, **{**given, **more})  # type: ignore[arg-type]


def as_row(tokens: list[Token]) -> tuple[Tensor, Row]:
    """(log pi with gradient, row), float64."""
    numbers = {t.sequence: n for n, t in enumerate({t.sequence: t for t in tokens}.values())}
    row = replace(
        filler_row(),
        behaviour_logprobs=torch.tensor([t.old for t in tokens], dtype=torch.float64),
        advantages=torch.tensor([t.advantage for t in tokens], dtype=torch.float64),
        weights=torch.ones(len(tokens)),
        sequences=torch.tensor([numbers[t.sequence] for t in tokens]),
        off_policy=torch.zeros(len(tokens), dtype=torch.bool),
        versions=torch.tensor([VERSION - t.lag for t in tokens]),
        reference_logprobs=None,
    )
    return torch.tensor([t.new for t in tokens], dtype=torch.float64).requires_grad_(), row


def threshold(tokens: list[Token], settings: LearnerSettings) -> float:
    new, row = as_row(tokens)
    log_ratio = token_log_ratio(new.detach(), row.behaviour_logprobs)
    squares = log_ratio[moves_away(log_ratio, row.advantages)].square()
    return second_moment_threshold(squares, settings.second_moment_max)


def fast(tokens: list[Token], settings: LearnerSettings, *, square_max: float | None = None) -> tuple[RowLoss, Tensor]:
    """(loss, gradient [N]) of a row; `square_max`: of the whole step, by default the row is the step."""
    if square_max is None:
        square_max = threshold(tokens, settings) if settings.ratio_mask == "second_moment" else math.inf
    new, row = as_row(tokens)
    loss = row_loss(row, new, torch.zeros(len(tokens)), settings, WholeStep(1, 1, 1, VERSION, square_max))
    (gradient,) = torch.autograd.grad(loss.total, new)
    return loss, gradient


def random_tokens(seed: int, spread: float = 0.4) -> list[Token]:
    """24 tokens in sequences of 1 to 6, of lags 0 to 4."""
    rng = np.random.default_rng(seed)
    tokens = []
    for sequence, length in enumerate([1, 6, 5, 2, 4, 6]):
        advantage = float(rng.normal())
        for _ in range(length):
            old = float(-3 * rng.random())
            new = old + spread * float(rng.normal())
            tokens.append(Token(new, old, advantage, sequence, lag=int(rng.integers(5))))
    return tokens


@pytest.mark.parametrize(("policy_loss", "ratio_mask"), COMBINATIONS)
def test_value_and_gradient_equal_the_slow_reference(policy_loss: str, ratio_mask: str) -> None:
    settings = chosen(policy_loss, ratio_mask)
    num_masked = 0
    for seed in range(8):
        tokens = random_tokens(seed)
        loss, gradient = fast(tokens, settings)
        expected = slow_losses(tokens, settings)
        assert loss.total.item() == pytest.approx(sum(value for value, _ in expected))
        assert gradient.tolist() == pytest.approx([slope for _, slope in expected], abs=1e-9)
        weights = gradient / -torch.tensor([t.advantage for t in tokens], dtype=torch.float64)
        torch.testing.assert_close(loss.gradient_weights, weights)
        masked = ~torch.tensor(slow_mask(tokens, settings))
        assert (loss.corrected | ~masked).all(), "masked tokens are counted"
        num_masked += int(masked.sum())
    assert (num_masked > 0) == (ratio_mask != "none")


@pytest.mark.parametrize(("policy_loss", "ratio_mask"), COMBINATIONS)
def test_at_ratio_one_nothing_is_corrected(policy_loss: str, ratio_mask: str) -> None:
    settings = chosen(policy_loss, ratio_mask, second_moment_max=0.0, mask_min=1.0, mask_max=1.0)
    tokens = random_tokens(seed=1, spread=0.0)
    loss, gradient = fast(tokens, settings)
    assert gradient.tolist() == pytest.approx([-t.advantage for t in tokens], abs=1e-12)
    assert not loss.corrected.any()
    assert loss.gradient_weights.tolist() == pytest.approx([1.0] * len(tokens), abs=1e-12)


@budget(max_examples=25)
@given(st.integers(0, 1000), st.sampled_from(COMBINATIONS), st.integers(1, 5))
def test_the_split_into_rows_changes_no_gradient(seed: int, names: tuple[str, str], cut: int) -> None:
    settings, tokens = chosen(*names), random_tokens(seed)
    square_max = threshold(tokens, settings) if names[1] == "second_moment" else math.inf
    whole = fast(tokens, settings, square_max=square_max)
    parts = [[t for t in tokens if (t.sequence < cut) is first] for first in (True, False)]
    split = [fast(part, settings, square_max=square_max) for part in parts]
    torch.testing.assert_close(torch.cat([gradient for _, gradient in split]), whole[1])
    torch.testing.assert_close(sum(loss.total for loss, _ in split), whole[0].total)


def test_a_masked_token_has_no_gradient_and_a_truncated_one_has_the_bound_by_hand() -> None:
    # Ratios 2, 1/4 and 8 with A = 1, against [0.5, 5]: IcePop keeps the first as it is.
    tokens = [Token(-1.0, -1.0 - math.log(w), 1.0, n) for n, w in enumerate((2.0, 0.25, 8.0))]
    masked = fast(tokens, chosen("truncated_is", "token", ratio_max=5.0, mask_min=0.5, mask_max=5.0))
    truncated = fast(tokens, chosen("truncated_is", ratio_max=5.0))
    assert masked[1].tolist() == pytest.approx([-2.0, 0.0, 0.0])
    assert truncated[1].tolist() == pytest.approx([-2.0, -0.25, -5.0])
    assert masked[0].corrected.tolist() == [False, True, True]
    assert truncated[0].corrected.tolist() == [False, False, True]


def test_the_weights_and_masks_of_sequences_by_hand() -> None:
    # Ratios 4 and 1/2 in one sequence, 3 alone in another: products 2 and 3, geometric means sqrt(2) and 3.
    ratios, sequences = (4.0, 0.5, 3.0), (0, 0, 1)
    tokens = [Token(-1.0, -1.0 - math.log(w), 1.0, s) for w, s in zip(ratios, sequences, strict=True)]
    slopes = {
        ("sequence_is", "none"): [-2.0, -2.0, -2.5],  # ratio_max 2.5
        ("sequence_is", "sequence"): [-2.0, -2.0, 0.0],  # mask_max 2.9
        ("truncated_is", "sequence"): [-2.5, -0.5, 0.0],
        ("truncated_is", "sequence_mean"): [-2.5, -0.5, 0.0],  # mask_max 1.5
    }
    for (policy_loss, mask), expected in slopes.items():
        bounds = {"mask_min": 0.5, "mask_max": 1.5 if mask == "sequence_mean" else 2.9}
        assert fast(tokens, chosen(policy_loss, mask, ratio_max=2.5, **bounds))[1].tolist() == pytest.approx(expected)


def test_the_proximal_policy_widens_the_clip_with_the_lag_by_hand() -> None:
    # A = 1, bounds [0.8, 1.2]. At lag 1 the clip is that of eq. 2; at lag 2 it is at 1.2^2 = 1.44, at lag 3 at 1.728.
    def slopes(ratio: float) -> list[float]:
        tokens = [Token(-1.0, -1.0 - math.log(ratio), 1.0, lag, lag=lag) for lag in range(4)]
        return fast(tokens, chosen("decoupled_clip"))[1].tolist()

    assert slopes(1.1) == pytest.approx([-1.1, -1.1, -1.1, -1.1])
    assert slopes(1.4) == pytest.approx([-1.4, 0.0, -1.4, -1.4])
    assert slopes(1.7) == pytest.approx([-1.7, 0.0, 0.0, -1.7])
    # log pi = -1, log pi_behaviour = -3, lag 4: three quarters of the way to pi.
    proximal = proximal_logprobs(torch.tensor([-1.0]), torch.tensor([-3.0]), torch.tensor([4]))
    assert proximal.tolist() == pytest.approx([-1.5])


def test_the_second_moment_masks_the_largest_until_the_mean_is_low_by_hand() -> None:
    # (log w)^2 = 0.01, 0.04, 0.09 and 0.36; means from below: 0.01, 0.025, 0.0467, 0.125. With tau = 0.04 two are kept.
    squares = torch.tensor([0.36, 0.01, 0.09, 0.04])
    assert second_moment_threshold(squares, 0.04) == pytest.approx(0.065)
    assert second_moment_threshold(squares, 0.125001) == math.inf
    assert second_moment_threshold(squares, 0.001) == pytest.approx(0.005), "none is kept"
    assert second_moment_threshold(torch.zeros(0), 0.04) == math.inf
    # Equal squares share their fate: with 0.09 twice, the mean of the lower three would be low enough.
    assert second_moment_threshold(torch.tensor([0.01, 0.02, 0.09, 0.09]), 0.04) == pytest.approx(0.055)
    # Only tokens that move away from the behaviour count: A > 0 with w > 1, A < 0 with w < 1.
    tokens = [Token(-1.0 + log_ratio, -1.0, a, n) for n, (log_ratio, a) in enumerate(
        [(0.6, 1.0), (-0.6, 1.0), (-0.6, -1.0), (0.6, -1.0), (0.1, 1.0), (0.1, 0.0)])]  # fmt: skip
    masked = fast(tokens, chosen("truncated_is", "second_moment", second_moment_max=0.04))[0].gradient_weights == 0
    assert masked.tolist() == [True, False, True, False, False, False]


@budget(max_examples=50)
@given(st.lists(st.floats(0, 4), max_size=30), st.floats(0, 1))
def test_what_the_second_moment_keeps_has_a_mean_of_at_most_tau(values: list[float], tau: float) -> None:
    squares = torch.tensor(values, dtype=torch.float64)
    limit = second_moment_threshold(squares, tau)
    kept = squares[squares <= limit]
    assert not len(kept) or kept.mean() <= tau + 1e-12
    more = squares[squares <= squares[squares > limit].min()] if (squares > limit).any() else None
    assert more is None or more.mean() > tau, "the next smallest would be too much"


def test_a_mask_touches_neither_the_oracle_nor_the_penalties() -> None:
    tokens = [Token(-1.0, -9.0, 1.0, 0), Token(-1.0, -9.0, 1.0, 1)]
    new, row = as_row(tokens)
    row = replace(row, off_policy=torch.tensor([True, False]), reference_logprobs=torch.tensor([-1.0, -2.0]).double())
    settings = chosen("truncated_is", "token", kl_coef=0.5)
    (gradient,) = torch.autograd.grad(row_loss(row, new, torch.zeros(2), settings, WholeStep(1, 1, 1)).total, new)
    pi = math.exp(-1.0)
    assert gradient.tolist() == pytest.approx([-0.1 * pi / (pi + 0.1) ** 2, 0.5 * (1 - math.exp(-1.0))])


def test_the_warm_up_counts_samples_and_a_lag_divides_the_rate() -> None:
    settings = LearnerSettings(learning_rate=1.0, batch_samples=64, warmup_samples=1280)
    fresh = np.zeros(5, dtype=np.int32)
    assert [scheduled_rate(settings, step, fresh) for step in (1, 10, 20, 21)] == pytest.approx([0.05, 0.5, 1.0, 1.0])
    smaller = replace(settings, batch_samples=32)
    assert [scheduled_rate(smaller, step, fresh) for step in (20, 40)] == pytest.approx([0.5, 1.0])
    assert scheduled_rate(replace(settings, warmup_samples=0), 1, fresh) == 1.0
    # Tokens of lags 0, 1, 2 and 5: mean 2.
    discounted, lags = replace(settings, lag_discount=0.5), np.asarray([0, 1, 2, 5], dtype=np.int32)
    assert scheduled_rate(discounted, 20, lags) == pytest.approx(1 / (1 + 0.5 * 2))
    assert scheduled_rate(discounted, 20, fresh) == 1.0
    assert scheduled_rate(discounted, 20, np.zeros(0, dtype=np.int32)) == 1.0
    assert scheduled_rate(settings, 20, lags) == 1.0


def test_the_kl_penalty_falls_to_zero_over_its_samples() -> None:
    settings = LearnerSettings(kl_coef=0.1, batch_samples=64, kl_samples=256)
    steps = (1, 2, 3, 4, 5, 6, 100)
    assert [settings.kl_coef_at(step) for step in steps] == pytest.approx([0.1, 0.075, 0.05, 0.025, 0, 0, 0])
    assert [replace(settings, kl_samples=None).kl_coef_at(step) for step in steps] == [0.1] * 7
    assert [replace(settings, kl_coef=0.0).kl_coef_at(step) for step in steps] == [0.0] * 7


def test_weights_are_due_so_many_steps_late() -> None:
    sets = [{"w": torch.tensor([float(version)])} for version in range(5)]
    delayed = DelayedWeights(2)
    assert [delayed.add(version, weights)[0] for version, weights in enumerate(sets)] == [0, 0, 0, 1, 2]
    at_once = DelayedWeights(0)
    assert [at_once.add(version, weights) for version, weights in enumerate(sets)] == list(enumerate(sets))
    resumed = DelayedWeights(2)
    assert [resumed.add(version, {})[0] for version in (10, 11, 12, 13)] == [10, 10, 10, 11]
