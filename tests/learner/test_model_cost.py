"""Model FLOPs, by hand and by counting the operations that torch runs; and the measured peak."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen3Config, Qwen3ForCausalLM

from learner.batch_feed import build_step
from learner.model import as_policy
from learner.model_cost import ModelCost, attended_pairs, model_cost
from learner.peak_flops import peak_flops
from tests.learner.tiny import random_groups


def test_pairs_of_a_shared_prompt_are_counted_once() -> None:
    assert attended_pairs(((2, (1, 2)),)) == (1 + 2) + 3 + (3 + 4)
    assert attended_pairs(((2, (1,)), (2, (2,)))) == 2 * (1 + 2) + 3 + (3 + 4)


def test_a_row_by_hand() -> None:
    """10 parameters for each of 5 tokens, a head of 6 for 3 trained ones, 13 pairs in a width of 4."""
    cost = ModelCost(body_parameters=10, head_parameters=6, attention_width=4)
    assert cost.flops(((2, (1, 2)),), num_trained=3) == 6 * (10 * 5 + 6 * 3) + 12 * 4 * 13


@pytest.mark.parametrize("tied", [True, False])
def test_the_formula_agrees_with_the_operations_that_run(tied: bool) -> None:
    """Dense layers exactly; norms have parameters, but their operations are not counted. The counter does not know
    packed attention, so the rows are of one rollout each."""
    config = Qwen3Config(
        vocab_size=300, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
        intermediate_size=64, tie_word_embeddings=tied,
    )  # fmt: skip
    policy = as_policy(Qwen3ForCausalLM(config), temperature=1.0, chunk_tokens=10_000, packing="off")
    row = build_step(random_groups(1, seed=3), row_tokens=4096, rank=0, world_size=1, packing="off").rows[0]
    with FlopCounterMode(display=False) as counter:
        logprobs, _ = policy(row.input_ids, row.position_ids, row.layout, row.positions, row.targets)
        logprobs.sum().backward()
    counted = counter.get_flop_counts()["Global"]
    dense = sum(flops for operation, flops in counted.items() if str(operation) in ("aten.mm", "aten.addmm"))
    cost, tokens = model_cost(policy), row.input_ids.numel()
    matrices = sum(p.numel() for name, p in policy.named_parameters() if p.ndim == 2 and "layers" in name)
    # No gradient was announced, so the head projects again in the backward pass: 8 instead of 6.
    assert dense == 6 * matrices * tokens + 8 * cost.head_parameters * len(row.targets)
    norms = sum(p.numel() for p in policy.parameters() if p.ndim == 1)
    assert cost.body_parameters == matrices + norms
    assert cost.head_parameters == 300 * 32
    assert cost.attention_width == 2 * 4 * 16
    assert cost.row_flops(row) == cost.flops(row.layout, len(row.targets))


def test_the_peak_is_measured_once_and_leaves_the_random_state() -> None:
    state = torch.random.get_rng_state()
    peak = peak_flops(torch.float32, torch.device("cpu"))
    assert peak > 1e8
    assert peak_flops(torch.float32, torch.device("cpu")) == peak
    assert torch.equal(torch.random.get_rng_state(), state)
