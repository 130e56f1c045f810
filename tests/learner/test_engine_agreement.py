"""Learner and engine at lag 0: what is compared, what stops a run, and that all ranks agree."""

import math
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest
import torch

from broker.records import Rollout, RolloutGroup, TrainGroup, float32_bytes, int32_bytes
from conf.load import load
from learner.batch_feed import build_step, filler_row
from learner.engine_agreement import Agreement, EngineDisagrees, FreshTokens, require_agreement
from learner.engine_bound import BOUNDS, engine_bound
from learner.ranks import Ranks

ALONE = Ranks(0, 1, torch.device("cpu"))
STEP = 5
"""Updates version 4."""


def rollout(*spans: tuple[int, int], num_tokens: int = 4, off_policy: bool = False) -> Rollout:
    return Rollout(
        token_ids=int32_bytes(range(num_tokens)), logprobs=b"" if off_policy else float32_bytes([-1.0] * num_tokens),
        version_spans=() if off_policy else spans, finish_reason="stop", verdict="correct", reward=1.0,
        off_policy=off_policy,
    )  # fmt: skip


def group(*rollouts: Rollout, prompt_version: int | None = STEP - 1) -> TrainGroup:
    whole = RolloutGroup(
        group_id=3, problem_id="p", arm="unguided", bucket="hard", actor="actor-0", prompt_ids=int32_bytes([7, 8]),
        rollouts=rollouts, prompt_version=prompt_version,
    )  # fmt: skip
    return TrainGroup(rollout_group=whole, advantages=float32_bytes([1.0] * len(rollouts)))


def agreement_of(batch: TrainGroup, differences: Sequence[float], ranks: Ranks = ALONE) -> Agreement | None:
    """`differences`: of log pi from log pi_behaviour, for each trained token of the group in order."""
    fresh = FreshTokens([batch], STEP)
    (row,) = build_step([batch], row_tokens=10_000, rank=0, world_size=1).rows
    fresh.add(row, row.behaviour_logprobs + torch.tensor(differences))
    fresh.add(filler_row(), torch.zeros(1))
    return fresh.reduce(ranks)


def test_only_rollouts_wholly_of_the_version_that_is_updated_are_compared() -> None:
    batch = group(rollout((0, 4), (2, 5)), rollout((0, 4)), rollout((0, 4), num_tokens=2), rollout(off_policy=True))
    updated_in_flight, oracle = [9.0] * 4, [9.0] * 4
    got = agreement_of(batch, [*updated_in_flight, 0.3, -0.4, 0.1, 0.1, 0.1, 0.1, *oracle])
    assert got is not None
    assert (got.num_tokens, got.largest) == (6, pytest.approx(0.4))
    assert got.rms == pytest.approx(math.sqrt((0.09 + 0.16 + 4 * 0.01) / 6))
    assert got.typical_rms == pytest.approx(math.sqrt((0.09 + 4 * 0.01) / 5)), "the token that differs most is left out"


@pytest.mark.parametrize("prompt_version", [STEP - 2, None])
def test_a_rollout_whose_prompt_may_be_of_older_weights_is_not_compared(prompt_version: int | None) -> None:
    assert agreement_of(group(rollout((0, 4)), prompt_version=prompt_version), [9.0] * 4) is None


def test_a_step_of_older_tokens_says_nothing() -> None:
    assert agreement_of(group(rollout((0, 3))), [5.0] * 4) is None
    require_agreement(None, 1e-3, step=STEP, packing="on")


@pytest.mark.parametrize("dtype", BOUNDS)
def test_one_outlier_does_not_stop_a_run_and_a_systematic_difference_does(dtype: str) -> None:
    bound = BOUNDS[dtype]
    long = group(rollout((0, 4), num_tokens=1000))
    require_agreement(agreement_of(long, [8.0] * 10 + [bound / 2] * 990), bound, step=1, packing="on")
    with pytest.raises(EngineDisagrees, match="1000 tokens of lag 0"):
        require_agreement(agreement_of(long, [0.0] * 900 + [bound * 4] * 100), bound, step=1, packing="on")


def test_the_error_has_the_numbers_and_says_what_to_do() -> None:
    wrong = agreement_of(group(rollout((0, 4))), [0.5, -0.5, 0.5, 2.0])
    with pytest.raises(EngineDisagrees) as first:
        require_agreement(wrong, 1e-3, step=1, packing="on")
    text = str(first.value)
    assert "\n" not in text
    for part in ("step 1:", "0.5 nats", "1.09 with them", "largest 2", "4 tokens", "bound is 0.001",
                 "Nothing of the step was trained", "learner.packing=off"):  # fmt: skip
        assert part in text
    with pytest.raises(EngineDisagrees, match=r"the bound is 0\.001\. .* a weight sync loaded other weights"):
        require_agreement(wrong, 1e-3, step=2, packing="on")
    assert first.value.final
    with pytest.raises(EngineDisagrees) as unpacked:
        require_agreement(wrong, 1e-3, step=1, packing="off")
    assert "learner.packing" not in str(unpacked.value)
    assert "Try model.dtype=float32" in str(unpacked.value)


def test_numbers_that_are_none_are_left_to_the_gradient() -> None:
    require_agreement(agreement_of(group(rollout((0, 4))), [math.nan] * 4), 1e-3, step=1, packing="on")


def test_all_ranks_come_to_the_same_conclusion() -> None:
    class TwoRanks(Ranks):
        """Another rank adds 6 tokens that differ by 1, one of them an outlier."""

        def sum(self, values: torch.Tensor) -> torch.Tensor:
            return values + torch.tensor([6.0, 6.0, 5.0, 5.0], dtype=values.dtype)

        def max(self, values: torch.Tensor) -> torch.Tensor:
            return values.clamp(min=1.0)

    got = agreement_of(group(rollout((0, 4))), [0.0] * 4, TwoRanks(0, 2, torch.device("cpu")))
    assert got == Agreement(10, math.sqrt(0.6), math.sqrt(5 / 8), 1.0)
    without = FreshTokens([], STEP).reduce(TwoRanks(0, 2, torch.device("cpu")))
    assert without is not None, "a rank without such tokens decides by those of the others"
    assert without.num_tokens == 6


def test_the_bound_follows_from_the_dtype_unless_it_is_set() -> None:
    config = load(None)
    assert engine_bound(config) == 1e-3
    assert engine_bound(replace(config, model=replace(config.model, dtype="bfloat16"))) == 0.2
    assert engine_bound(load(None, ["learner.max_engine_rms=0.5"])) == 0.5


def test_a_rollout_without_a_reward_is_not_compared() -> None:
    failed = msgspec.structs.replace(rollout((0, 4)), verdict="timeout", reward=None)
    got = agreement_of(group(rollout((0, 4)), failed), [0.25] * 4)
    assert got is not None
    assert got.num_tokens == 4
