"""What RL and SFT train: one rank's share of the policy under DeepSpeed, and its checkpoints.

All ranks call the same methods in the same order.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from broker.failpoints import failpoint
from conf.schema import RunConfig
from learner.checkpoints import Checkpoints
from learner.deepspeed_engine import DeepSpeedEngine
from learner.manifest import WEIGHTS, Checkpoint
from learner.model import load_policy, save_configuration

log = logging.getLogger(__name__)


class Trainable:
    """Opened at the starting weights; `resume` moves it to the newest intact checkpoint."""

    def __init__(
        self,
        config: RunConfig,
        *,
        model_path: Path,
        checkpoints: Path,
        temperature: float,
        entropy_gradient: bool = False,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """`temperature`: of the distribution whose log-probabilities are trained. `entropy_gradient`: entropies carry a
        gradient, for an entropy bonus. `settings`: what a checkpoint depends on besides `learner` and the model's
        dtype."""
        learner = config.learner
        device = torch.device(config.deploy.device, 0) if config.deploy.device == "cuda" else torch.device("cpu")
        dtype = getattr(torch, config.model.dtype)
        self._model_path = model_path
        self._policy = load_policy(
            model_path,
            dtype=dtype,
            temperature=temperature,
            chunk_tokens=learner.logprob_chunk_tokens,
            gradient_checkpointing=learner.gradient_checkpointing,
            entropy_gradient=entropy_gradient,
        )
        self.engine = DeepSpeedEngine(self._policy, learner, dtype=dtype, device=device)
        self.checkpoints = Checkpoints(
            checkpoints,
            self.engine.ranks,
            keep=learner.keep_checkpoints,
            settings={
                **{f"learner.{name}": value for name, value in asdict(learner).items()},
                "model.dtype": config.model.dtype,
                **(settings or {}),
            },
        )

    def resume(self) -> int | None:
        """Continue from the newest intact checkpoint. Returns its step; None when there is none."""
        checkpoint = self.checkpoints.newest()
        if checkpoint is None:
            return None
        self._load(checkpoint)
        log.info("resumed at step %d", checkpoint.step)
        return checkpoint.step

    def move_to(self, step: int) -> None:
        """Continue from the checkpoint of a step, whose files the caller has verified."""
        self._load(self.checkpoints.at(step))

    def _load(self, checkpoint: Checkpoint) -> None:
        self.engine.load(checkpoint.folder)
        self.checkpoints.restore_rng(checkpoint)

    def save(self, step: int, confirm: Callable[[], None] = lambda: None) -> bool:
        """Make this step durable, with a Hugging Face folder in it. False: it failed, training goes on.

        Rank 0 calls `confirm` at the last moment; what it raises ends the save, with nothing changed.
        """
        weights = self.engine.gather_weights()

        def write(folder: Path) -> None:
            self.engine.save(folder)
            failpoint("checkpoint.state")
            if self.engine.ranks.first:
                self._write_model(weights, folder)

        return self.checkpoints.save(step, write, confirm)

    def save_model(self, folder: Path) -> None:
        """The present weights as a Hugging Face folder; equal weights make an equal file."""
        weights = self.engine.gather_weights()
        if self.engine.ranks.first:
            self._write_model(weights, folder)

    def _write_model(self, weights: dict[str, Tensor], folder: Path) -> None:
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
        save_configuration(self._policy, self._model_path, folder)
