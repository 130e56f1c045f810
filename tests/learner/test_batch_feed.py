"""The packed rows of a step: targets, advantages, lags, and the share of each rank."""

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from broker.records import Rollout, RolloutGroup, TrainGroup, float32_bytes, int32_bytes
from learner.batch_feed import build_step, filler_row, token_lags
from tests.learner.tiny import random_groups


def one_group() -> TrainGroup:
    """Prompt 5 9 2; rollouts 7 8, 6 and, without a reward, 4 4 4."""

    def rollout(ids: list[int], spans: tuple[tuple[int, int], ...], reward: float | None) -> Rollout:
        return Rollout(
            token_ids=int32_bytes(ids),
            logprobs=float32_bytes([-0.1 * (i + 1) for i in range(len(ids))]),
            version_spans=spans,
            finish_reason="stop",
            verdict="crash" if reward is None else "correct" if reward else "wrong",
            reward=reward,
        )

    group = RolloutGroup(
        group_id=3,
        problem_id="p",
        arm="guided",
        bucket="hard",
        actor="actor-0",
        prompt_ids=int32_bytes([5, 9, 2]),
        rollouts=(
            rollout([7, 8], ((0, 4), (1, 6)), 1.0),
            rollout([4, 4, 4], ((0, 1),), None),
            rollout([6], ((0, 6),), 0.0),
        ),
    )
    return TrainGroup(rollout_group=group, advantages=float32_bytes([0.5, 0.0, -0.5]))


def test_a_row_by_hand() -> None:
    batch = build_step([one_group()], row_tokens=20, rank=0, world_size=1)
    (row,) = batch.rows
    assert row.input_ids.tolist() == [[5, 9, 2, 7, 8, 6]]
    assert row.position_ids.tolist() == [[0, 1, 2, 3, 4, 3]]
    assert row.layout == ((3, (2, 1)),)
    assert row.positions.tolist() == [2, 3, 2]  # the prompt's last token predicts the first of both rollouts
    assert row.targets.tolist() == [7, 8, 6]
    assert row.behaviour_logprobs.tolist() == pytest.approx([-0.1, -0.2, -0.1])
    assert row.advantages.tolist() == [0.5, 0.5, -0.5]
    assert row.weights.tolist() == [1, 1, 1]
    assert row.sequences.tolist() == [0, 0, 1]
    assert row.off_policy.tolist() == [False] * 3
    assert row.reference_logprobs is None
    assert (batch.num_tokens, batch.num_sequences) == (3, 2)
    assert batch.packing_fill == 1.0


def test_the_lag_of_each_trained_token() -> None:
    # Step 8 updates version 7; versions 4, 6 and 6 sampled the tokens; the crashed rollout is not trained.
    assert token_lags([one_group()], step=8).tolist() == [3, 1, 1]
    assert token_lags([], step=8).tolist() == []


def test_an_oracle_solution_is_trained_without_logprobs_and_has_no_lag() -> None:
    group = one_group()
    oracle = Rollout(
        token_ids=int32_bytes([8, 8]), logprobs=b"", version_spans=(), finish_reason="stop", verdict="correct",
        reward=1.0, off_policy=True,
    )  # fmt: skip
    rollouts = msgspec.structs.replace(group.rollout_group, rollouts=(*group.rollout_group.rollouts, oracle))
    group = TrainGroup(rollout_group=rollouts, advantages=float32_bytes([0.5, 0.0, -0.5, 0.25]))
    (row,) = build_step([group], row_tokens=20, rank=0, world_size=1).rows
    assert row.targets.tolist() == [7, 8, 6, 8, 8]
    assert row.off_policy.tolist() == [False, False, False, True, True]
    assert row.behaviour_logprobs.tolist()[3:] == [0.0, 0.0]
    assert row.advantages.tolist()[3:] == [0.25, 0.25]
    assert token_lags([group], step=8).tolist() == [3, 1, 1]


def test_reference_logprobs_follow_their_tokens() -> None:
    reference = tuple(float32_bytes([-1.0 - i] * n) for i, n in enumerate([2, 3, 1]))
    group = msgspec.structs.replace(one_group(), reference_logprobs=reference)
    (row,) = build_step([group], row_tokens=20, rank=0, world_size=1).rows
    assert row.reference_logprobs is not None
    assert row.reference_logprobs.tolist() == [-1.0, -1.0, -3.0]


def test_prompt_tokens_are_never_targets() -> None:
    for row in build_step(random_groups(5, seed=1), row_tokens=64, rank=0, world_size=1).rows:
        rollout_tokens = set()
        start = 0
        for prompt, rollouts in row.layout:
            start += prompt
            rollout_tokens.update(range(start, start + sum(rollouts)))
            start += sum(rollouts)
        assert start == row.input_ids.shape[1]
        trained = [row.input_ids[0, i].item() for i in sorted(rollout_tokens)]
        assert row.targets.tolist() == trained


def test_a_group_that_outgrows_a_row_repeats_its_prompt() -> None:
    batch = build_step([one_group()], row_tokens=5, rank=0, world_size=1)
    assert [row.input_ids.tolist() for row in batch.rows] == [[[5, 9, 2, 7, 8]], [[5, 9, 2, 6]]]
    assert batch.num_tokens == 3


def test_a_sample_longer_than_a_row_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"learner.row_tokens=4"):
        build_step([one_group()], row_tokens=4, rank=0, world_size=1)


def test_a_step_of_failed_verifications_trains_nothing() -> None:
    groups = random_groups(1, 2, failed=[(0, 0), (0, 1)])
    batch = build_step(groups, row_tokens=64, rank=0, world_size=1)
    assert batch.num_tokens == 0
    assert batch.rows[0].weights.sum() == 0


def test_a_filler_row_weighs_nothing_and_is_a_valid_row() -> None:
    row = filler_row()
    assert row.weights.tolist() == [0]
    assert sum(prompt + sum(rollouts) for prompt, rollouts in row.layout) == row.input_ids.shape[1]


@given(st.integers(0, 10_000), st.integers(1, 7), st.integers(1, 5), st.integers(22, 90))
def test_the_ranks_together_train_every_token_once(seed: int, num_groups: int, ranks: int, row_tokens: int) -> None:
    groups = random_groups(num_groups, seed=seed, failed=[(0, 1)])
    batches = [build_step(groups, row_tokens=row_tokens, rank=r, world_size=ranks) for r in range(ranks)]
    assert len({len(batch.rows) for batch in batches}) == 1
    trained: list[tuple[int, float, float]] = []
    for batch in batches:
        for row in batch.rows:
            assert row.input_ids.shape[1] <= row_tokens
            keep = row.weights > 0
            columns = (row.targets[keep], row.behaviour_logprobs[keep], row.advantages[keep])
            trained.extend(zip(*(c.tolist() for c in columns), strict=True))
    expected: list[tuple[int, float, float]] = []
    for group in groups:
        advantages = np.frombuffer(group.advantages, dtype="<f4")
        for rollout, advantage in zip(group.rollout_group.rollouts, advantages, strict=True):
            if rollout.reward is not None:
                ids = np.frombuffer(rollout.token_ids, dtype="<i4")
                old = np.frombuffer(rollout.logprobs, dtype="<f4")
                expected.extend((int(i), float(o), float(advantage)) for i, o in zip(ids, old, strict=True))
    assert sorted(trained) == sorted(expected)
    assert {batch.num_tokens for batch in batches} == {len(expected)}


def test_a_rank_computes_the_same_rows_again() -> None:
    groups = random_groups(6, seed=2)
    first, second = (build_step(groups, row_tokens=40, rank=1, world_size=2) for _ in range(2))
    for a, b in zip(first.rows, second.rows, strict=True):
        assert torch.equal(a.input_ids, b.input_ids)
        assert a.layout == b.layout


def test_without_packing_a_row_is_a_prompt_with_one_rollout() -> None:
    batch = build_step([one_group()], row_tokens=20, rank=0, world_size=1, packing="off")
    assert [row.input_ids.tolist() for row in batch.rows] == [[[5, 9, 2, 7, 8]], [[5, 9, 2, 6]]]
    assert [row.position_ids.tolist() for row in batch.rows] == [[[0, 1, 2, 3, 4]], [[0, 1, 2, 3]]]
    assert [row.layout for row in batch.rows] == [((3, (2,)),), ((3, (1,)),)]
    assert [row.rollouts for row in batch.rows] == [((3, 0),), ((3, 2),)]
    assert (batch.num_tokens, batch.num_sequences, batch.packing_fill) == (3, 2, 1.0)
    with pytest.raises(ValueError, match=r"sample 0 has 5 tokens, learner\.row_tokens=4"):
        build_step([one_group()], row_tokens=4, rank=0, world_size=1, packing="off")


def test_without_packing_the_ranks_run_equally_many_rows() -> None:
    groups = random_groups(3, seed=2)
    steps = [build_step(groups, row_tokens=60, rank=rank, world_size=5, packing="off") for rank in range(5)]
    assert {len(step.rows) for step in steps} == {3}
    found = [rollout for step in steps for row in step.rows for rollout in row.rollouts]
    assert sorted(found) == [(group, i) for group in range(3) for i in range(4)]


def test_groups_that_are_not_needed_count_only_in_the_totals() -> None:
    groups = random_groups(4, seed=6)
    whole = build_step(groups, row_tokens=500, rank=0, world_size=1)
    part = build_step(groups, row_tokens=500, rank=0, world_size=1, needed=lambda group: group is groups[2])
    assert (part.num_tokens, part.num_sequences) == (whole.num_tokens, whole.num_sequences)
    trained = groups[2].rollout_group
    assert {group_id for row in part.rows for group_id, _ in row.rollouts} == {trained.group_id}
    assert sum(len(row.targets) for row in part.rows) == trained.num_completion_tokens
