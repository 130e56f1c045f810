"""The memory of engines and learner ranks, from a model's sizes and the settings. Pure; docs/plan.md has the formulas.

A plan, not a measurement: no GPU has confirmed it. `RUNTIME_BYTES` and the activations inside a layer are assumptions.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from conf.schema import RunConfig
from deploy.plan.model_sizes import ModelSizes

GIB = 2**30
FLOAT32 = 4
BYTES = {"bfloat16": 2, "float32": FLOAT32}
RUNTIME_BYTES = 1.5 * GIB
"""Assumed for each process on a GPU: CUDA context, kernels, CUDA graphs, fragmentation."""
LOGIT_COPIES = 3
"""float32 arrays of the logits at the same time: logits, logits over the temperature, their log-softmax."""
LIVE_PARAMETERS, BUCKET_PARAMETERS = 1_000_000_000, 500_000_000
"""Of DeepSpeed: parameters that ZeRO 3 holds gathered at most, and parameters of a bucket that is reduced."""


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes by what takes them: of a rank, and of one of the GPUs of an engine."""

    learner: Mapping[str, float]
    engine: Mapping[str, float]
    """Without the KV cache."""
    engine_share: float
    """`actors.gpu_memory_utilization`"""
    kv_bytes: int
    """Of one token, on all GPUs of an engine."""
    tensor_parallel: int
    shared: bool
    """Whether engine and rank are on one card."""

    @property
    def learner_bytes(self) -> float:
        return sum(self.learner.values())

    def kv_tokens(self, card_bytes: float) -> int:
        """Tokens in the KV cache of an engine; 0 if not even its weights fit in its share of the cards."""
        left = self.engine_share * card_bytes - sum(self.engine.values())
        return max(0, int(self.tensor_parallel * left // self.kv_bytes))

    def learner_fits(self, card_bytes: float) -> bool:
        """Whether a rank fits its card, or beside the engine's share of it."""
        return self.learner_bytes <= card_bytes * (1 - self.engine_share if self.shared else 1)

    def fits(self, card_bytes: float, longest_sequence: int) -> bool:
        """Whether the learner fits, and one longest sequence into the KV cache."""
        return self.learner_fits(card_bytes) and self.kv_tokens(card_bytes) >= longest_sequence

    def largest_engine_share(self, card_bytes: float) -> float:
        """The largest `actors.gpu_memory_utilization` on a shared card, in whole percent; 0 if the learner does not
        fit."""
        return max(0, math.floor(100 * (1 - self.learner_bytes / card_bytes))) / 100


def memory_plan(config: RunConfig, sizes: ModelSizes) -> MemoryPlan:
    """The memory of a run."""
    actors, width = config.actors, BYTES[config.model.dtype]
    runtime = RUNTIME_BYTES if config.deploy.device == "cuda" else 0.0
    return MemoryPlan(
        learner=_learner(config, sizes) | {"runtime (assumed)": runtime},
        engine={
            "weights": float(width * sizes.parameters) / actors.tensor_parallel,
            "logits of a step": float(LOGIT_COPIES * FLOAT32 * actors.max_num_seqs * sizes.vocabulary),
            "runtime (assumed)": runtime,
        },
        engine_share=actors.gpu_memory_utilization,
        kv_bytes=width * sizes.kv_numbers,
        tensor_parallel=actors.tensor_parallel,
        shared=config.deploy.share_gpu,
    )


def trained_bytes(dtype: str, zero_stage: int, num_ranks: int) -> float:
    """Bytes of a parameter on a rank: weight, gradient, and in float32 the sum of gradients, master, two moments.

    bfloat16 on one rank: 2 + 2 + 4 + 4 + 8 = 20. Stages 1 and 2 divide master and moments by the ranks, stage 2 also
    the sum of gradients, stage 3 everything. In float32 weight and gradient serve as master and as sum.
    """
    bf16 = dtype == "bfloat16"
    stage = max(1, zero_stage) if bf16 else zero_stage  # DeepSpeed needs stage 1 to sum bfloat16 gradients in float32
    parts = {
        "weight": BYTES[dtype],
        "gradient": BYTES[dtype],
        "gradient sum": FLOAT32 if bf16 else 0,
        "master": FLOAT32 if stage > 0 and (bf16 or num_ranks > 1) else 0,
        "moments": 2 * FLOAT32,
    }
    divided = {
        0: (), 1: ("master", "moments"), 2: ("master", "moments", "gradient sum"), 3: tuple(parts),
    }[stage]  # fmt: skip
    return sum(size / num_ranks if name in divided else size for name, size in parts.items())


def _learner(config: RunConfig, sizes: ModelSizes) -> dict[str, float]:
    """Bytes of a rank, without its runtime."""
    learner, width = config.learner, BYTES[config.model.dtype]
    ranks, tokens = learner.num_ranks, config.learner.row_tokens
    kept = tokens * sizes.hidden * sizes.layers  # the input of every layer, with gradient checkpointing
    inside = tokens * (8 * sizes.hidden + 4 * sizes.kv_width + 4 * sizes.intermediate)  # of one layer
    activations = width * (kept + inside if learner.gradient_checkpointing else kept + sizes.layers * inside)
    parts = {
        "weights, gradients, moments": trained_bytes(config.model.dtype, learner.zero_stage, ranks) * sizes.parameters
    }
    if ranks > 1 and learner.zero_stage == 3:
        parts["gathered weights"] = float(width * min(sizes.parameters, LIVE_PARAMETERS))
    if ranks > 1 and learner.zero_stage > 0:
        parts["bucket of gradients"] = float(width * min(sizes.parameters, BUCKET_PARAMETERS))
    return parts | {
        "activations of a row": float(activations),
        "gradient of the head in float32": float(FLOAT32 * sizes.head_parameters),
        "logits of a chunk": float(LOGIT_COPIES * FLOAT32 * learner.logprob_chunk_tokens * sizes.vocabulary),
    }
