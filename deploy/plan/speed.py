"""Tokens a second of engines and learner, by arithmetic; docs/plan.md has the formulas. Pure.

An engine is bound by what a decode step reads from memory: its weights, and the KV cache of all running sequences. The
learner is bound by its FLOPs, at an assumed utilization.
"""

from dataclasses import dataclass

from broker.errors import UsageError
from conf.schema import RunConfig, Sampling
from deploy.plan.machine import engine_device, rank_device
from deploy.plan.memory import BYTES, GIB, memory_plan
from deploy.plan.model_sizes import ModelSizes

COMPUTE_SHARE = 0.5
"""Assumed share of the peak in the matrix products of a decode step, which bound it on a CPU."""
TRAINED_FLOPS, ATTENTION_FLOPS = 6, 12
"""A trained token: FLOPs for each parameter, and for each key of each query head (learner/model_cost.py)."""


@dataclass(frozen=True)
class EngineSpeed:
    """One engine that samples in one way."""

    kv_tokens: int
    """Tokens in its KV cache."""
    context_tokens: float
    """Upper bound of the mean length of a running sequence so far, prompt included."""
    fitting_sequences: int
    """Sequences of this mean context in the KV cache."""
    fitting_longest: int
    """Sequences of the largest length in the KV cache: so many are never preempted."""
    sequences: int
    """Sequences that run: those that fit, at most actors.max_num_seqs and what the lag bound allows."""
    step_s: float
    """Duration of a decode step, seconds."""

    @property
    def tokens_per_s(self) -> float:
        return self.sequences / self.step_s


def mean_prompt_tokens(config: RunConfig) -> float:
    return config.plan.length_share * config.actors.max_prompt_tokens


def mean_completion_tokens(config: RunConfig, sampling: Sampling) -> float:
    return config.plan.length_share * sampling.max_completion_tokens


def context_tokens(config: RunConfig, sampling: Sampling) -> float:
    """Mean prompt + M / 2, for completions of up to M tokens.

    Completions of length L run for L steps, with L / 2 tokens on average, so that a running sequence has written
    E[L^2] / (2 E[L]) tokens on average. With L <= M that is at most M / 2, whatever the distribution of L.
    """
    return mean_prompt_tokens(config) + sampling.max_completion_tokens / 2


def engine_speed(
    config: RunConfig, sizes: ModelSizes, sampling: Sampling, *, most_sequences: float = float("inf")
) -> EngineSpeed:
    """`most_sequences`: another bound on the sequences of an engine.

    Raises UsageError when one longest sequence does not fit into the KV cache.
    """
    actors, device, parallel = config.actors, engine_device(config), config.actors.tensor_parallel
    memory, width = memory_plan(config, sizes), BYTES[config.model.dtype]
    if device.memory_bytes is None:
        kv_tokens = actors.kv_cache_gib * GIB // memory.kv_bytes
    else:
        kv_tokens = memory.kv_tokens(device.memory_bytes)
    longest = actors.max_prompt_tokens + sampling.max_completion_tokens
    if kv_tokens < longest:
        remedy = f"actors.kv_cache_gib={actors.kv_cache_gib}"
        if device.memory_bytes is not None:
            remedy = (
                f"actors.gpu_memory_utilization={actors.gpu_memory_utilization:g} or "
                f"actors.tensor_parallel={parallel}, or name larger cards than plan.gpu={config.plan.gpu}"
            )
        raise UsageError(
            f"the KV cache of an engine holds {kv_tokens:,} tokens and the longest sequence is {longest:,}: "
            f"raise {remedy}"
        )
    context = context_tokens(config, sampling)
    fitting = int(kv_tokens // context)
    sequences = max(1, int(min(actors.max_num_seqs, fitting, most_sequences)))
    read = (width * sizes.parameters + sequences * context * memory.kv_bytes) / parallel
    flops = 2 * sequences * (sizes.body_parameters + sizes.head_parameters) / parallel
    step_s = device.decode_overhead_s + max(
        read / (device.bandwidth * config.plan.bandwidth_share), flops / (device.flops * COMPUTE_SHARE)
    )
    return EngineSpeed(kv_tokens, context, fitting, kv_tokens // longest, sequences, step_s)


@dataclass(frozen=True)
class LearnerSpeed:
    """All ranks together."""

    flops_per_rollout: float
    """Forward and backward pass of a rollout of mean length, with its part of the prompt."""
    rollouts_per_s: float


def learner_speed(config: RunConfig, sizes: ModelSizes) -> LearnerSpeed:
    """A prompt is computed once for the rollouts of its group that share a row."""
    prompt, completion = mean_prompt_tokens(config), mean_completion_tokens(config, config.actors.sampling)
    room = (config.learner.row_tokens - prompt) // completion if config.learner.packing == "on" else 1
    sharing = max(1.0, min(room, config.actors.group_size))
    dense = sizes.body_parameters * (completion + prompt / sharing) + sizes.head_parameters * completion
    pairs = completion * context_tokens(config, config.actors.sampling) + prompt**2 / 2 / sharing
    flops = TRAINED_FLOPS * dense + ATTENTION_FLOPS * sizes.attention_width * pairs
    reached = config.learner.num_ranks * rank_device(config).flops * config.plan.mfu
    return LearnerSpeed(flops, reached / flops)
