"""A tiny random Qwen3 and small groups whose behaviour logprobs are near the model's own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from broker.records import Bucket, Rollout, RolloutGroup, TrainGroup, float32_bytes, int32_bytes
from learner.sft_batches import Example
from tests.groups import train_group

VOCABULARY = 96


def tiny_lm(*, tied: bool = True, seed: int = 0, dtype: torch.dtype = torch.float32, **config_options: Any) -> Any:
    """2 layers of 32, 4 heads on 2 KV heads; sharp enough that probabilities differ. `config_options`: of Qwen3."""
    torch.manual_seed(seed)
    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 256,
        "initializer_range": 0.15,
        "eos_token_id": 1,
        "pad_token_id": 0,
    }
    return Qwen3ForCausalLM(Qwen3Config(tie_word_embeddings=tied, **{**sizes, **config_options})).to(dtype)


def save_tiny(folder: Path, **options: Any) -> Path:
    """A Hugging Face folder with a stand-in for the tokenizer's files."""
    tiny_lm(**options).save_pretrained(folder)
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    return folder


def random_examples(num_examples: int = 10, *, seed: int = 0) -> list[Example]:
    """Prompts of 3 to 9 tokens, responses of 1 to 12 and the end-of-sequence token."""
    rng = np.random.default_rng(seed)
    return [
        Example(
            prompt_ids=int32_bytes(rng.integers(2, VOCABULARY, int(rng.integers(3, 10)))),
            response_ids=int32_bytes([*rng.integers(2, VOCABULARY, int(rng.integers(1, 13))), 1]),
        )
        for _ in range(num_examples)
    ]


def random_groups(
    num_groups: int,
    group_size: int = 4,
    *,
    seed: int = 0,
    version: int = 0,
    first_group_id: int = 0,
    max_tokens: int = 12,
    failed: Sequence[tuple[int, int]] = (),
    oracles: Sequence[int] = (),
    reference: bool = False,
    drawn_as: Sequence[tuple[Bucket, str]] = (("hard", "unguided"), ("hard", "guided")),
) -> list[TrainGroup]:
    """Prompts of 3 to 9 tokens, rollouts of 1 to `max_tokens`.

    `failed` lists the (group, rollout) without a reward, `oracles` the groups whose last rollout is off-policy;
    `reference` adds reference logprobs. The (bucket, arm) of the groups cycles through `drawn_as`.
    """
    rng = np.random.default_rng(seed)
    groups = []
    for g in range(num_groups):
        rewards = [None if (g, i) in failed else float(rng.random() < 0.5) for i in range(group_size)]
        rollouts = []
        if g in oracles:
            rewards[-1] = 1.0
        for i, reward in enumerate(rewards):
            length = int(rng.integers(1, max_tokens + 1))
            off_policy = g in oracles and i == group_size - 1
            rollouts.append(
                Rollout(
                    token_ids=int32_bytes(rng.integers(2, VOCABULARY, length)),
                    logprobs=b"" if off_policy else float32_bytes(_near_uniform(rng, length)),
                    version_spans=() if off_policy else ((0, version),),
                    off_policy=off_policy,
                    finish_reason="stop",
                    verdict="timeout" if reward is None else "correct" if reward else "wrong",
                    reward=reward,
                )
            )
        rollout_group = RolloutGroup(
            group_id=first_group_id + g,
            problem_id=f"p{g}",
            arm=drawn_as[g % len(drawn_as)][1],
            bucket=drawn_as[g % len(drawn_as)][0],
            actor="actor-0",
            prompt_ids=int32_bytes(rng.integers(2, VOCABULARY, int(rng.integers(3, 10)))),
            rollouts=tuple(rollouts),
        )
        group = train_group(rollout_group)
        if reference:
            arrays = tuple(float32_bytes(_near_uniform(rng, r.num_tokens)) for r in rollouts)
            group = msgspec.structs.replace(group, reference_logprobs=arrays)
        groups.append(group)
    return groups


def _near_uniform(rng: np.random.Generator, length: int) -> np.ndarray:
    """Logprobs of tokens under a distribution that is nearly uniform."""
    return -np.log(VOCABULARY) + 0.3 * rng.standard_normal(length)
