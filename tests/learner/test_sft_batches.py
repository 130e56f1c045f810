"""Which demonstrations a step trains, and that no prompt token is among its targets."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from broker.records import int32_bytes
from learner.batch_feed import build_step
from learner.sft_batches import Curriculum, Example, as_groups


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_every_epoch_trains_every_example_once(num_examples: int, batch: int, epochs: int, seed: int) -> None:
    curriculum = Curriculum(num_examples, batch, epochs, seed)
    seen: dict[int, list[int]] = {}
    for step in range(1, curriculum.num_steps + 1):
        examples = curriculum.examples(step)
        assert 1 <= len(examples) <= batch
        seen.setdefault(curriculum.epoch(step), []).extend(examples)
    assert sorted(seen) == list(range(1, epochs + 1))
    assert all(Counter(examples) == Counter(range(num_examples)) for examples in seen.values())


def test_the_order_is_new_in_every_epoch_and_follows_from_the_seed() -> None:
    def order(seed: int) -> list[list[int]]:
        curriculum = Curriculum(20, 20, 3, seed)
        return [curriculum.examples(step) for step in (1, 2, 3)]

    first = order(0)
    assert len({tuple(epoch) for epoch in first}) == 3
    assert order(0) == first
    assert order(1) != first


def test_only_responses_are_targets() -> None:
    examples = [
        Example(prompt_ids=int32_bytes([5, 9, 2]), response_ids=int32_bytes([7, 8, 1])),
        Example(prompt_ids=int32_bytes([6]), response_ids=int32_bytes([4, 1])),
    ]
    batch = build_step(as_groups(examples), row_tokens=20, rank=0, world_size=1)
    (row,) = batch.rows
    assert row.input_ids.tolist() == [[5, 9, 2, 7, 8, 1, 6, 4, 1]]
    assert row.position_ids.tolist() == [[0, 1, 2, 3, 4, 5, 0, 1, 2]]
    assert row.layout == ((3, (3,)), (1, (2,)))
    assert row.positions.tolist() == [2, 3, 4, 6, 7]
    assert row.targets.tolist() == [7, 8, 1, 4, 1]
    assert row.weights.tolist() == [1] * 5
    assert batch.num_tokens == 5
    assert [example.num_tokens for example in examples] == [6, 3]


@given(st.integers(0, 1000), st.integers(1, 9), st.integers(1, 4))
def test_the_ranks_together_train_every_response_token_once(seed: int, num_examples: int, ranks: int) -> None:
    rng = np.random.default_rng(seed)
    examples = [
        Example(
            prompt_ids=int32_bytes(rng.integers(50, 96, rng.integers(1, 8))),  # prompts and responses share no token
            response_ids=int32_bytes(rng.integers(2, 50, rng.integers(1, 10))),
        )
        for _ in range(num_examples)
    ]
    targets: list[int] = []
    for rank in range(ranks):
        for row in build_step(as_groups(examples), row_tokens=32, rank=rank, world_size=ranks).rows:
            targets += row.targets[row.weights > 0].tolist()
    expected = [int(i) for example in examples for i in np.frombuffer(example.response_ids, "<i4")]
    assert sorted(targets) == sorted(expected)
