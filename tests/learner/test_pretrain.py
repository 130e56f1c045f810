"""Pretraining of the built-in base model."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from learner.pretrain import MICRO_BATCHES, pretrain, split_by_length, split_into_steps
from tests.learner.tiny import tiny_lm


def counting(num: int, seed: int = 0) -> tuple[list[np.ndarray], list[int]]:
    """Prompt of a start word; the answer counts up from it: learnable to the last digit."""
    rng = np.random.default_rng(seed)
    sequences = []
    for _ in range(num):
        start, length = int(rng.integers(2, 60)), int(rng.integers(4, 12))
        sequences.append(np.arange(start, start + length, dtype=np.int32))
    return sequences, [1] * num


def test_pretraining_lowers_the_loss_and_reports_every_step() -> None:
    sequences, first = counting(400)
    seen: list[tuple[int, float]] = []
    losses = pretrain(
        tiny_lm(), sequences, first, tokens_per_step=128, learning_rate=1e-2, threads=1,
        on_step=lambda step, loss: seen.append((step, loss)),
    )
    assert seen == list(enumerate(losses, start=1))
    assert losses[0] > 3.5
    assert np.mean(losses[-3:]) < 0.5 * losses[0]


def test_the_result_does_not_depend_on_the_threads() -> None:
    sequences, first = counting(60)
    models = []
    for threads in (1, 2):
        model = tiny_lm()
        pretrain(model, sequences, first, tokens_per_step=256, threads=threads)
        models.append(model.state_dict())
    for name, weight in models[0].items():
        assert torch.equal(weight, models[1][name])


def test_the_first_loss_is_that_of_the_sequences_one_by_one() -> None:
    sequences, _ = counting(5)
    first = [1, 2, 3, 1, 2]
    lm = tiny_lm()
    total, count = 0.0, 0
    with torch.no_grad():
        for sequence, start in zip(sequences, first, strict=True):
            ids = torch.from_numpy(sequence.astype(np.int64))
            logprobs = torch.log_softmax(lm(ids[None], use_cache=False).logits[0], -1)
            for t in range(start, len(ids)):
                total -= logprobs[t - 1, ids[t]].item()
                count += 1
    assert pretrain(lm, sequences, first, tokens_per_step=10**6, threads=1)[0] == pytest.approx(total / count, rel=1e-5)


@pytest.mark.parametrize("first", [0, 3])
def test_a_sequence_without_a_token_to_predict_is_refused(first: int) -> None:
    with pytest.raises(ValueError, match=f"sequence 0: first_loss_index {first}"):
        pretrain(tiny_lm(), [[4, 5, 6]], [first])


@given(st.lists(st.integers(2, 300), min_size=1, max_size=60), st.integers(1, 2000), st.integers(0, 9))
def test_every_sequence_is_in_one_step_and_one_micro_batch(lengths: list[int], tokens: int, seed: int) -> None:
    steps = split_into_steps(lengths, tokens, seed)
    assert sorted(i for step in steps for i in step) == list(range(len(lengths)))
    for step in steps:
        batches = split_by_length(step, lengths)
        assert sorted(i for batch in batches for i in batch) == sorted(step)
        assert len(batches) <= MICRO_BATCHES
