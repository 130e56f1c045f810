"""A model in training, from its folder and the settings of a run."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from conf.schema import RunConfig
from learner.deepspeed_engine import DeepSpeedEngine
from learner.model import Policy, load_policy


def open_engine(config: RunConfig, model_path: Path) -> tuple[Policy, DeepSpeedEngine]:
    """The model in `model_path` on this rank's device, and the group of ranks around it."""
    device = torch.device(config.deploy.device, 0) if config.deploy.device == "cuda" else torch.device("cpu")
    dtype = getattr(torch, config.model.dtype)
    policy = load_policy(
        model_path,
        dtype=dtype,
        temperature=config.actors.temperature,
        chunk_tokens=config.learner.logprob_chunk_tokens,
        gradient_checkpointing=config.learner.gradient_checkpointing,
    )
    return policy, DeepSpeedEngine(policy, config.learner, dtype=dtype, device=device)


def checkpoint_settings(config: RunConfig) -> dict[str, Any]:
    """What a checkpoint depends on, by dotted name."""
    settings: dict[str, Any] = {f"learner.{name}": value for name, value in asdict(config.learner).items()}
    settings["model.dtype"] = config.model.dtype
    return settings
