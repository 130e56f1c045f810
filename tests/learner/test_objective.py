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
from learner.losses.aggregation import WholeStep, token_shares
from learner.losses.masks import moves_away, second_moment_threshold
from learner.losses.objective import row_loss
from learner.losses.policy import token_log_ratio
from tests.learner.slow_losses import Token, slow_losses
from tests.learner.tiny import random_groups

LONGEST = 40
VERSION = 3
"""The version that the step updates; all tokens are of version 0."""
CASES: list[dict[str, Any]] = [
    {"policy_loss": "ppo_clip", "ratio_min": 0.8, "ratio_max": 1.28},
    {"policy_loss": "truncated_is", "ratio_max": 1.1, "kl_coef": 0.3, "entropy_coef": 0.2},
    {"policy_loss": "cispo", "ratio_min": 0.9, "ratio_max": 1.1, "entropy_coef": 0.1, "luffy_gamma": 0.3},
    {"policy_loss": "gspo", "ratio_min": 0.99, "ratio_max": 1.01, "kl_coef": 0.3},
    {"policy_loss": "ppo_clip", "ratio_min": 0.8, "ratio_max": 1.1, "dual_clip": 1.3, "kl_coef": 0.2},
    {"policy_loss": "truncated_is", "ratio_mask": "token", "mask_min": 0.8, "mask_max": 1.2, "kl_coef": 0.2},
    {"policy_loss": "sequence_is", "ratio_max": 1.1, "ratio_mask": "sequence", "mask_max": 2.0},
    {"policy_loss": "decoupled_clip", "ratio_min": 0.95, "ratio_max": 1.05, "ratio_mask": "sequence_mean",
     "mask_min": 0.8, "mask_max": 1.1},
    {"policy_loss": "cispo", "ratio_max": 1.28, "ratio_mask": "second_moment", "entropy_coef": 0.1},
]
AGGREGATIONS = ("token_mean", "sequence_mean", "sequence_sum", "constant")


def name_of(case: dict[str, Any]) -> str:
    more = [case["ratio_mask"]] if "ratio_mask" in case else []
    return "dual_clip" if "dual_clip" in case else "-".join([case["policy_loss"], *more])


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
    batches = [build_step(groups, row_tokens=row_tokens, rank=rank, world_size=ranks) for rank in range(ranks)]
    rows = [row for batch in batches for row in [*batch.rows, filler_row()]]
    square_max = square_max_of(rows, chosen)
    whole = WholeStep(batches[0].num_tokens, batches[0].num_sequences, LONGEST, VERSION, square_max)
    return sum(row_loss(row, *policy_outputs(row), chosen, whole).total.item() for row in rows)


def square_max_of(rows: list[Row], chosen: LearnerSettings) -> float:
    squares = []
    for row in rows:
        log_ratio = token_log_ratio(policy_outputs(row)[0], row.behaviour_logprobs)
        counted = moves_away(log_ratio, row.advantages) & (row.weights > 0) & ~row.off_policy
        squares.append(log_ratio[counted].square())
    return second_moment_threshold(torch.cat(squares), chosen.second_moment_max)


def slow_outputs(group: TrainGroup, i: int) -> list[float]:
    """x of `policy_outputs`, of the tokens of rollout i."""
    ids = np.frombuffer(group.rollout_group.rollouts[i].token_ids, dtype="<i4").tolist()
    return [math.sin(1.7 * t + group.rollout_group.num_prompt_tokens - 1 + n) for n, t in enumerate(ids)]


def slow_policy_losses(groups: list[TrainGroup], chosen: LearnerSettings) -> dict[tuple[int, int], list[float]]:
    """(group id, index) -> policy losses of the tokens of each sampled rollout with a reward."""
    places, tokens = [], []
    for group in groups:
        for i, rollout in enumerate(group.rollout_group.rollouts):
            if rollout.reward is None or rollout.off_policy:
                continue
            a, key = float(float32_array(group.advantages)[i]), (group.rollout_group.group_id, i)
            for x, old in zip(slow_outputs(group, i), float32_array(rollout.logprobs).tolist(), strict=True):
                tokens.append(Token(-4.5 + 0.4 * x, old, a, hash(key), lag=VERSION))
                places.append(key)
    losses: dict[tuple[int, int], list[float]] = {}
    for key, (loss, _) in zip(places, slow_losses(tokens, chosen), strict=True):
        losses.setdefault(key, []).append(loss)
    return losses


def slow(groups: list[TrainGroup], chosen: LearnerSettings) -> float:
    """Rollout by rollout, with floats and lists."""
    policy = slow_policy_losses(groups, chosen)
    sums: list[tuple[float, int]] = []
    for group in groups:
        reference = group.reference_logprobs
        assert reference is not None
        for i, rollout in enumerate(group.rollout_group.rollouts):
            if rollout.reward is None:
                continue
            x = slow_outputs(group, i)
            new = [-4.5 + 0.4 * value for value in x]
            a = float(float32_array(group.advantages)[i])
            if rollout.off_policy:
                losses = [-math.exp(n) / (math.exp(n) + chosen.luffy_gamma) * a for n in new]
            else:
                losses, ref = policy[group.rollout_group.group_id, i], float32_array(reference[i]).tolist()
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
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_every_split_of_a_step_has_the_loss_of_the_slow_loop(
    case: dict[str, Any], aggregation: str, ranks: int, row_tokens: int
) -> None:
    groups, chosen = groups_of(case), settings(aggregation, case)
    assert fast(groups, chosen, row_tokens, ranks) == pytest.approx(slow(groups, chosen), abs=1e-6, rel=1e-6)


def test_the_shares_of_a_step_by_hand() -> None:
    # Two rollouts of 3 and 1 tokens in this row, 10 tokens in 4 sequences in the step, at most 5 tokens each.
    sequences, size = torch.tensor([0, 0, 0, 1]), WholeStep(10, 4, 5)
    assert token_shares("token_mean", sequences, size).tolist() == pytest.approx([0.1] * 4)
    assert token_shares("sequence_mean", sequences, size).tolist() == pytest.approx([1 / 12] * 3 + [1 / 4])
    assert token_shares("sequence_sum", sequences, size).tolist() == pytest.approx([1 / 4] * 4)
    assert token_shares("constant", sequences, size).tolist() == pytest.approx([1 / 20] * 4)


def test_gradients_of_the_aggregations_differ_by_the_mean_length_and_the_longest() -> None:
    # docs/objectives.md: 10 tokens in 4 sequences are 2.5 tokens each, of at most 5.
    sequences, size = torch.tensor([0, 0, 0, 1]), WholeStep(10, 4, 5)
    token_mean, whole, constant = (
        token_shares(name, sequences, size) for name in ("token_mean", "sequence_sum", "constant")
    )
    assert (whole / token_mean).tolist() == pytest.approx([2.5] * 4)
    assert (whole / constant).tolist() == pytest.approx([5.0] * 4)


def test_equal_lengths_make_token_mean_and_sequence_mean_the_same() -> None:
    sequences, size = torch.tensor([0, 0, 1, 1]), WholeStep(8, 4, 2)
    shares = [token_shares(name, sequences, size) for name in ("token_mean", "sequence_mean", "constant")]
    assert torch.equal(shares[0], shares[1])
    assert torch.equal(shares[0], shares[2])


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_a_step_without_trained_tokens_is_zero(aggregation: str) -> None:
    row = filler_row()
    chosen = settings(aggregation, {})
    assert row_loss(row, torch.zeros(1), torch.zeros(1), chosen, WholeStep(0, 0, 5)).total.item() == 0.0


def whole_step(case: dict[str, Any]) -> tuple[Row, WholeStep]:
    """A step in one row."""
    (row,) = build_step(groups_of(case), row_tokens=4096, rank=0, world_size=1).rows
    return row, WholeStep(len(row.targets), int(row.sequences.max()) + 1, LONGEST)


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
        row_loss(row, logprobs.requires_grad_(), entropies, LearnerSettings(entropy_coef=0.1), WholeStep(1, 1, 1))


def test_a_kl_penalty_without_reference_logprobs_fails_an_assertion() -> None:
    (row,) = build_step(random_groups(1), row_tokens=200, rank=0, world_size=1).rows
    logprobs, entropies = policy_outputs(row)
    with pytest.raises(AssertionError, match=r"learner.kl_coef"):
        row_loss(row, logprobs, entropies, LearnerSettings(kl_coef=0.1), WholeStep(1, 1, 1))
