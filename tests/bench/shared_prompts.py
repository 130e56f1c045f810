"""P4: a training step on rows in which a prompt is computed once for its rollouts, against a copy for each rollout.

    python -m tests.bench.shared_prompts      the table alone

CPU seconds of forward and backward on one thread, for a model of the size of the built-in one. The copies are packed
into rows, too, so what differs is the prompts alone.
"""

import time
from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from broker.records import Rollout, RolloutGroup, TrainGroup, float32_bytes, int32_bytes
from conf.load import load
from learner.batch_feed import Row, build_step
from learner.expected_gradient import ExpectedOfRow
from learner.model import Policy, as_policy
from learner.sft import CrossEntropy
from tests.bench.measure import Measure, of_pairs
from tests.groups import train_group

VOCABULARY = 1024
COMPLETION = 64
PROMPTS = (64, 128, 512)
GROUP_SIZES = (8, 16)
NUM_GROUPS = 2
PAIRS = 3


def shared_prompts() -> list[Measure]:
    torch.set_num_threads(1)
    policy = _small_policy()
    return [_measure(policy, prompt, group_size) for prompt, group_size in product(PROMPTS, GROUP_SIZES)]


def _measure(policy: Policy, prompt: int, group_size: int) -> Measure:
    shared, separate = (_rows(prompt, group_size, shared=shared) for shared in (True, False))
    _cpu_seconds(policy, shared)  # warms up
    pairs = [(_cpu_seconds(policy, separate), _cpu_seconds(policy, shared)) for _ in range(PAIRS)]
    tokens = [sum(row.input_ids.numel() for row in rows) for rows in (separate, shared)]
    return of_pairs(
        "P4", f"shared prompts: copies / shared, CPU seconds; groups of {group_size}, prompt : completion "
        f"{prompt // COMPLETION} : 1", [a / b for a, b in pairs], target="",
        detail=f"{pairs[0][0]:.2f} s against {pairs[0][1]:.2f} s; {tokens[0] / tokens[1]:.2f} times the tokens",
    )  # fmt: skip


def _small_policy() -> Policy:
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCABULARY, hidden_size=128, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
        head_dim=32, intermediate_size=256, tie_word_embeddings=True, max_position_embeddings=4096,
    )  # fmt: skip
    return as_policy(
        Qwen3ForCausalLM(config), temperature=1.0, chunk_tokens=load(None, []).learner.logprob_chunk_tokens
    )


def _rows(num_prompt_tokens: int, group_size: int, *, shared: bool) -> list[Row]:
    """Rows of some prompts with their rollouts; not shared: each rollout is a group of its own."""
    random = np.random.default_rng(0)
    groups: list[TrainGroup] = []
    for _ in range(NUM_GROUPS):
        prompt = random.integers(2, VOCABULARY, num_prompt_tokens)
        rollouts = [_rollout(random.integers(2, VOCABULARY, COMPLETION)) for _ in range(group_size)]
        parts = [rollouts] if shared else [[rollout] for rollout in rollouts]
        groups += [_group(len(groups) + number, prompt, part) for number, part in enumerate(parts)]
    return build_step(groups, row_tokens=load(None, []).learner.row_tokens, rank=0, world_size=1).rows


def _rollout(tokens: np.ndarray) -> Rollout:
    return Rollout(
        token_ids=int32_bytes(tokens), logprobs=float32_bytes(np.zeros(COMPLETION)), version_spans=((0, 0),),
        finish_reason="stop", verdict="correct", reward=1.0,
    )  # fmt: skip


def _group(group_id: int, prompt: np.ndarray, rollouts: Sequence[Rollout]) -> TrainGroup:
    return train_group(
        RolloutGroup(
            group_id=group_id, problem_id="p", arm="unguided", bucket="hard", actor="bench",
            prompt_ids=int32_bytes(prompt), rollouts=tuple(rollouts),
        )
    )  # fmt: skip


def _cpu_seconds(policy: Policy, rows: Sequence[Row]) -> float:
    objective = CrossEntropy(NUM_GROUPS * COMPLETION)
    start = time.process_time()
    for row in rows:
        expected = ExpectedOfRow(row, objective)
        outputs = policy(row.input_ids, row.position_ids, row.layout, row.positions, row.targets, expected)
        objective.total(row, *outputs).backward()
    return time.process_time() - start


if __name__ == "__main__":
    for measure in shared_prompts():
        spread = f"[{measure.low:.2f}, {measure.high:.2f}]"
        print(f"{measure.what}: {measure.ratio:.2f} {spread}; {measure.detail}", flush=True)
