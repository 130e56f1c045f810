"""The memory of a GPU that engine and learner share (`deploy.share_gpu`), from a model's sizes and the settings. Pure.

A plan, not a measurement: no GPU has confirmed it. `RUNTIME_BYTES` and the activations inside a layer are assumptions.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from conf.schema import RunConfig

GIB = 2**30
BF16, FLOAT32 = 2, 4
TRAINED_BYTES = BF16 + BF16 + FLOAT32 + FLOAT32 + 2 * FLOAT32
"""Of a parameter in the learner: weight, gradient, accumulated gradient, master weight, two moments of AdamW."""
RUNTIME_BYTES = 1.5 * GIB
"""Assumed for each of the two processes: CUDA context, kernels, CUDA graphs, fragmentation."""
LOGIT_COPIES = 3
"""float32 arrays of a chunk of logits at the same time: logits, their softmax, its gradient."""


@dataclass(frozen=True)
class ModelSizes:
    """What the memory of a dense decoder depends on."""

    parameters: int
    hidden: int
    intermediate: int
    layers: int
    kv_width: int
    """Key-value heads * size of a head."""
    vocabulary: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "ModelSizes":
        """From config.json of a dense decoder with a gated MLP (Llama, Qwen, Gemma)."""
        hidden, layers, heads = config["hidden_size"], config["num_hidden_layers"], config["num_attention_heads"]
        head = config.get("head_dim") or hidden // heads
        kv_width = config.get("num_key_value_heads", heads) * head
        attention = 2 * hidden * heads * head + 2 * hidden * kv_width
        layer = attention + 3 * hidden * config["intermediate_size"]
        embeddings = config["vocab_size"] * hidden * (1 if config.get("tie_word_embeddings") else 2)
        return cls(
            parameters=layers * layer + embeddings,
            hidden=hidden,
            intermediate=config["intermediate_size"],
            layers=layers,
            kv_width=kv_width,
            vocabulary=config["vocab_size"],
        )

    @property
    def kv_bytes(self) -> int:
        """Keys and values of one token in all layers."""
        return 2 * self.layers * self.kv_width * BF16

    @property
    def head_bytes(self) -> int:
        """The LM head in float32, which both sides compute with."""
        return self.vocabulary * self.hidden * FLOAT32


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes by what takes them."""

    learner: Mapping[str, float]
    engine: Mapping[str, float]
    """Without the KV cache."""
    engine_share: float
    """`actors.gpu_memory_utilization`"""
    kv_bytes: int
    """Of one token."""

    @property
    def learner_bytes(self) -> float:
        return sum(self.learner.values())

    def kv_tokens(self, card_bytes: float) -> int:
        """Tokens in the KV cache of a card; 0 if not even the engine's weights fit in its share."""
        return max(0, int((self.engine_share * card_bytes - sum(self.engine.values())) // self.kv_bytes))

    def fits(self, card_bytes: float, longest_sequence: int) -> bool:
        """Whether the learner fits beside the engine's share, and one longest sequence into the KV cache."""
        beside = (1 - self.engine_share) * card_bytes
        return self.learner_bytes <= beside and self.kv_tokens(card_bytes) >= longest_sequence

    def largest_engine_share(self, card_bytes: float) -> float:
        """The largest `actors.gpu_memory_utilization`, in whole percent, beside which the learner fits; 0 if none."""
        return max(0, math.floor(100 * (1 - self.learner_bytes / card_bytes))) / 100


def plan(config: RunConfig, sizes: ModelSizes) -> MemoryPlan:
    """The plan of a run with `model.dtype=bfloat16` and one rank."""
    learner, tokens = config.learner, config.learner.row_tokens
    kept = tokens * sizes.hidden * sizes.layers  # the input of every layer, with gradient checkpointing
    inside = tokens * (8 * sizes.hidden + 4 * sizes.kv_width + 4 * sizes.intermediate)  # of one layer
    activations = BF16 * (kept + inside if learner.gradient_checkpointing else kept + sizes.layers * inside)
    return MemoryPlan(
        learner={
            "weights, gradients, moments": float(TRAINED_BYTES * sizes.parameters),
            "activations of a row": float(activations),
            "head in float32, with its gradient": 2.0 * sizes.head_bytes,
            "logits of a chunk": float(LOGIT_COPIES * FLOAT32 * learner.logprob_chunk_tokens * sizes.vocabulary),
            "runtime (assumed)": RUNTIME_BYTES,
        },
        engine={
            "weights": float(BF16 * sizes.parameters),
            "head in float32": float(sizes.head_bytes),
            "runtime (assumed)": RUNTIME_BYTES,
        },
        engine_share=config.actors.gpu_memory_utilization,
        kv_bytes=sizes.kv_bytes,
    )
