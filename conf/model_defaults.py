"""The defaults that depend on the model and the device: of the toy, or of the size of a real model.

They come after base.yaml and before the hardware file, so everything the user names replaces them. For a real model of
the paper's size (Qwen3-4B) they are the paper's (table 4), as far as the device allows.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

from conf.machine import num_cores
from conf.model_facts import ModelFacts
from conf.names import flat
from conf.schema import RunConfig

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Size:
    """Defaults of the models up to a size."""

    up_to: float
    """Parameters."""
    learning_rate: float
    warmup_samples: int
    prompt_tokens: int
    completion_tokens: int
    """On GPUs."""
    sequences: int
    """Of an engine on a GPU: at most what the KV cache of a card of 80 GB holds at the mean length (docs/plan.md)."""
    ranks: int
    """Fewest ranks that hold the optimizer on cards of 80 GB, if there are as many GPUs."""


SIZES = (
    Size(0.3e9, 5e-6, warmup_samples=320, prompt_tokens=1024, completion_tokens=1024, sequences=256, ranks=1),
    Size(2e9, 2e-6, warmup_samples=320, prompt_tokens=1024, completion_tokens=4096, sequences=192, ranks=1),
    Size(math.inf, 1e-6, warmup_samples=0, prompt_tokens=2048, completion_tokens=16384, sequences=40, ranks=2),
)
"""Smaller models take larger steps and cannot use long responses. A model of unknown size is the last, with the rate
and the lengths of table 4."""
CPU_TOKENS = 512
"""Longest prompt and longest completion on a CPU, where a token takes milliseconds."""
CPU_SEQUENCES = 32
CPU_CACHE_GIB = 4
"""Largest KV cache that is chosen on a CPU."""


def defaults_of(facts: ModelFacts, device: Device, gpus: int) -> dict[str, Any]:
    """Dotted name -> value, for a model that is not the toy. `gpus`: to be shared by engines and learner ranks."""
    parameters = math.inf if facts.parameters is None else facts.parameters
    size = next(size for size in SIZES if parameters <= size.up_to)
    cpu = device == "cpu"
    prompt = CPU_TOKENS if cpu else size.prompt_tokens
    completion = CPU_TOKENS if cpu else size.completion_tokens
    if facts.positions is not None and prompt + completion > facts.positions:
        prompt = min(prompt, max(1, facts.positions // 2))
        completion = max(1, facts.positions - prompt)
    longest = prompt + completion
    chosen = {
        "model.dtype": "float32" if cpu else "bfloat16",
        "actors.temperature": 0.8,
        "actors.max_prompt_tokens": prompt,
        "actors.max_completion_tokens": completion,
        "actors.lease_s": 600.0,
        "learner.batch_samples": 32,
        "learner.learning_rate": size.learning_rate,
        "learner.warmup_samples": size.warmup_samples,
        "learner.max_lag": 8,
        "learner.row_tokens": max(4096, longest),
        "learner.gradient_checkpointing": longest > 4096,
        "sft.learning_rate": 1e-5,
        "sft.max_tokens": longest,
        "deploy.start_timeout_s": 1800.0,
        "deploy.no_progress_s": 3600.0,
    }
    if cpu:
        threads = max(1, num_cores() // 2)
        chosen |= {
            "actors.max_num_seqs": CPU_SEQUENCES,
            "actors.threads": threads,
            "actors.kv_cache_gib": _cache_gib(facts, longest),
            "learner.threads": threads,
        }
        return chosen
    chosen["actors.max_num_seqs"] = size.sequences
    if gpus >= 2:
        ranks = min(max(size.ranks, gpus // 4), gpus - 1)  # engines take several times as long as the learner
        chosen |= {
            "actors.num_actors": gpus - ranks,
            "learner.num_ranks": ranks,
            "learner.zero_stage": 3 if size.ranks > 1 and ranks > 1 else 0,
        }
    return chosen


def _cache_gib(facts: ModelFacts, longest: int) -> int:
    if facts.cached_numbers is None:
        return CPU_CACHE_GIB // 2
    needed = CPU_SEQUENCES * longest * facts.cached_numbers * 4 / 2**30  # float32
    return max(1, min(CPU_CACHE_GIB, math.ceil(needed)))


def explain(config: RunConfig, facts: ModelFacts, gpus: int) -> str:
    """What was chosen for a real model and why, in one line; what the user replaced is left out."""
    device: Device = config.deploy.device
    chosen, values = defaults_of(facts, device, gpus), flat(config)
    kept = ", ".join(f"{name}={value}" for name, value in chosen.items() if values[name] == value)
    size = facts.source if facts.parameters is not None else "size unknown, defaults of the paper's 4 B"
    return f"defaults for {facts.path} ({size}) on {device}{_why(device, gpus)}: {kept or 'all replaced'}"


def _why(device: Device, gpus: int) -> str:
    if device == "cuda":
        return f", {gpus} GPUs here" if gpus else ""
    if gpus == 0:
        return ", no GPU here"
    few = ", and training takes two, one for an engine and one for a rank" if gpus == 1 else ""
    return f" ({gpus} GPU{'s' if gpus > 1 else ''} here{few}; hardware=gpu uses them)"
