"""Policy loss, penalties and aggregation together, against slow loops over whole rollouts."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from broker.records import TrainGroup, float32_array
from conf.schema import LearnerSettings
from learner.batch_feed import Row, build_step, filler_row
from learner.losses.aggregation import StepSize, token_shares
from learner.losses.objective import row_loss
from tests.learner.tiny import random_groups

LONGEST = 40
CASES: list[dict[str, Any]] = [
    {"policy_loss": "ppo_clip", "ratio_min": 0.8, "ratio_max": 1.28},
    {"policy_loss": "truncated_is", "ratio_max": 1.1, "kl_coef": 0.3, "entropy_coef": 0.2},
    {"policy_loss": "cispo", "ratio_min": 0.9, "ratio_max": 1.1, "entropy_coef": 0.1, "luffy_gamma": 0.3},
    {"policy_loss": "gspo", "ratio_min": 0.99, "ratio_max": 1.01, "kl_coef": 0.3},
    {"policy_loss": "ppo_clip", "ratio_min": 0.8, "ratio_max": 1.1, "dual_clip": 1.3, "kl_coef": 0.2},
]
AGGREGATIONS = ("token_mean", "sequence_mean", "sequence_sum", "constant")


def settings(aggregation: str, case: dict[str, Any]) -> LearnerSettings:
    return LearnerSettings(loss_aggregation=aggregation, **case)  # type: ignore[arg-type]


def groups_of(case: dict[str, Any]) -> list[TrainGroup]:
    oracles = () if case["policy_loss"] == "gspo" else (0, 3)
    return random_groups(5, seed=4, failed=[(1, 2), (2, 0)], oracles=oracles, reference=True)


def policy_outputs(row: Row) -> tuple[Tensor, Tensor]:
    """Logprobs and entropies that depend on the tokens alone, not on their place in the rows; float64."""
    place = row.position_ids[0, row.positions].double() if len(row.positions) else row.targets.double()
    x = torch.sin(row.targets.double() * 1.7 + place)
    return -4.5 + 0.4 * x, 1.0 + 0.5 * x


def fast(groups: list[TrainGroup], chosen: LearnerSettings, row_tokens: int, ranks: int) -> float:
    total = 0.0
    for rank in range(ranks):
        batch = build_step(groups, row_tokens=row_tokens, rank=rank, world_size=ranks)
        size = StepSize(batch.num_tokens, batch.num_sequences, LONGEST)
        for row in [*batch.rows, filler_row()]:
            logprobs, entropies = policy_outputs(row)
            total += row_loss(row, logprobs, entropies, chosen, size).total.item()
    return total


def slow(groups: list[TrainGroup], chosen: LearnerSettings) -> float:
    """Rollout by rollout, with floats and lists."""
    sums: list[tuple[float, int]] = []
    for group in groups:
        reference = group.reference_logprobs
        assert reference is not None
        prompt_length = group.rollout_group.num_prompt_tokens
        for i, rollout in enumerate(group.rollout_group.rollouts):
            if rollout.reward is None:
                continue
            ids = np.frombuffer(rollout.token_ids, dtype="<i4")
            x = [math.sin(1.7 * t + prompt_length - 1 + n) for n, t in enumerate(ids.tolist())]
            new = [-4.5 + 0.4 * value for value in x]
            a = float(float32_array(group.advantages)[i])
            if rollout.off_policy:
                losses = [-math.exp(n) / (math.exp(n) + chosen.luffy_gamma) * a for n in new]
            else:
                old, ref = float32_array(rollout.logprobs).tolist(), float32_array(reference[i]).tolist()
                w = [math.exp(n - o) for n, o in zip(new, old, strict=True)]
                if chosen.policy_loss == "gspo":
                    w = [math.prod(w) ** (1 / len(w))] * len(w)
                clipped = [min(max(value, chosen.ratio_min), chosen.ratio_max) for value in w]
                if chosen.policy_loss in ("ppo_clip", "gspo"):
                    losses = [-min(r * a, c * a) for r, c in zip(w, clipped, strict=True)]
                    if a < 0 and chosen.dual_clip is not None:
                        losses = [min(loss, chosen.dual_clip * -a) for loss in losses]
                else:
                    losses = [-c * a * n for c, n in zip(clipped, new, strict=True)]
                kl = [math.exp(r - n) - (r - n) - 1 for r, n in zip(ref, new, strict=True)]
                entropies = [1.0 + 0.5 * value for value in x]
                losses = [
                    loss + chosen.kl_coef * k - chosen.entropy_coef * h
                    for loss, k, h in zip(losses, kl, entropies, strict=True)
                ]
            sums.append((sum(losses), len(losses)))
    if chosen.loss_aggregation == "token_mean":
        return sum(s for s, _ in sums) / sum(n for _, n in sums)
    if chosen.loss_aggregation == "sequence_mean":
        return sum(s / n for s, n in sums) / len(sums)
    if chosen.loss_aggregation == "sequence_sum":
        return sum(s for s, _ in sums) / len(sums)
    return sum(s for s, _ in sums) / (len(sums) * LONGEST)


@pytest.mark.parametrize("row_tokens", [22, 60, 4096])
@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: "dual_clip" if "dual_clip" in case else case["policy_loss"])
def test_every_split_of_a_step_has_the_loss_of_the_slow_loop(
    case: dict[str, Any], aggregation: str, ranks: int, row_tokens: int
) -> None:
    groups, chosen = groups_of(case), settings(aggregation, case)
    assert fast(groups, chosen, row_tokens, ranks) == pytest.approx(slow(groups, chosen), abs=1e-6, rel=1e-6)


def test_the_shares_of_a_step_by_hand() -> None:
    # Two rollouts of 3 and 1 tokens in this row, 10 tokens in 4 sequences in the step, at most 5 tokens each.
    sequences, size = torch.tensor([0, 0, 0, 1]), StepSize(10, 4, 5)
    assert token_shares("token_mean", sequences, size).tolist() == pytest.approx([0.1] * 4)
    assert token_shares("sequence_mean", sequences, size).tolist() == pytest.approx([1 / 12] * 3 + [1 / 4])
    assert token_shares("sequence_sum", sequences, size).tolist() == pytest.approx([1 / 4] * 4)
    assert token_shares("constant", sequences, size).tolist() == pytest.approx([1 / 20] * 4)


def test_gradients_of_the_aggregations_differ_by_the_mean_length_and_the_longest() -> None:
    # docs/objectives.md: 10 tokens in 4 sequences are 2.5 tokens each, of at most 5.
    sequences, size = torch.tensor([0, 0, 0, 1]), StepSize(10, 4, 5)
    token_mean, whole, constant = (
        token_shares(name, sequences, size) for name in ("token_mean", "sequence_sum", "constant")
    )
    assert (whole / token_mean).tolist() == pytest.approx([2.5] * 4)
    assert (whole / constant).tolist() == pytest.approx([5.0] * 4)


def test_equal_lengths_make_token_mean_and_sequence_mean_the_same() -> None:
    sequences, size = torch.tensor([0, 0, 1, 1]), StepSize(8, 4, 2)
    shares = [token_shares(name, sequences, size) for name in ("token_mean", "sequence_mean", "constant")]
    assert torch.equal(shares[0], shares[1])
    assert torch.equal(shares[0], shares[2])


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_a_step_without_trained_tokens_is_zero(aggregation: str) -> None:
    row = filler_row()
    chosen = settings(aggregation, {})
    assert row_loss(row, torch.zeros(1), torch.zeros(1), chosen, StepSize(0, 0, 5)).total.item() == 0.0


def whole_step(case: dict[str, Any]) -> tuple[Row, StepSize]:
    """A step in one row."""
    (row,) = build_step(groups_of(case), row_tokens=4096, rank=0, world_size=1).rows
    return row, StepSize(len(row.targets), int(row.sequences.max()) + 1, LONGEST)


@pytest.mark.parametrize(
    "case", [CASES[0], CASES[3] | {"entropy_coef": 0.2}, CASES[4]], ids=["ppo_clip", "gspo", "dual_clip"]
)
def test_the_gradient_of_the_whole_objective_passes_gradcheck(case: dict[str, Any]) -> None:
    chosen = settings("sequence_mean", case)
    row, size = whole_step(case)
    inputs = tuple(tensor.requires_grad_() for tensor in policy_outputs(row))
    assert torch.autograd.gradcheck(lambda new, h: row_loss(row, new, h, chosen, size).total, inputs)


@pytest.mark.parametrize("case", CASES[1:3], ids=["truncated_is", "cispo"])
def test_the_gradient_of_the_whole_objective_with_its_weights_held_fixed(case: dict[str, Any]) -> None:
    chosen = settings("constant", case)
    row, size = whole_step(case)
    assert row.reference_logprobs is not None
    new, h = (tensor.requires_grad_() for tensor in policy_outputs(row))
    got = torch.autograd.grad(row_loss(row, new, h, chosen, size).total, (new, h), allow_unused=True)
    new = new.detach()
    policy = -(new - row.behaviour_logprobs).exp().clamp(chosen.ratio_min, chosen.ratio_max) * row.advantages
    policy += chosen.kl_coef * (1 - (row.reference_logprobs - new).exp())
    oracle = -chosen.luffy_gamma * new.exp() / (new.exp() + chosen.luffy_gamma) ** 2 * row.advantages
    assert row.off_policy.any()
    share = 1 / (size.num_sequences * LONGEST)
    torch.testing.assert_close(got[0], share * torch.where(row.off_policy, oracle, policy))
    torch.testing.assert_close(got[1], -share * chosen.entropy_coef * (~row.off_policy).double())


def test_an_entropy_bonus_without_a_gradient_fails_an_assertion() -> None:
    (row,) = build_step(random_groups(1), row_tokens=200, rank=0, world_size=1).rows
    logprobs, entropies = policy_outputs(row)
    with pytest.raises(AssertionError, match="entropy_gradient"):
        row_loss(row, logprobs.requires_grad_(), entropies, LearnerSettings(entropy_coef=0.1), StepSize(1, 1, 1))


def test_a_kl_penalty_without_reference_logprobs_fails_an_assertion() -> None:
    (row,) = build_step(random_groups(1), row_tokens=200, rank=0, world_size=1).rows
    logprobs, entropies = policy_outputs(row)
    with pytest.raises(AssertionError, match=r"learner.kl_coef"):
        row_loss(row, logprobs, entropies, LearnerSettings(kl_coef=0.1), StepSize(1, 1, 1))
