"""One rank of the policy under DeepSpeed with its checkpoints, for both RL and SFT.

All ranks call the same methods in the same order.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from broker.failpoints import failpoint
from conf.schema import LearnerSettings
from learner.checkpoints import Checkpoints
from learner.deepspeed_engine import DeepSpeedEngine
from learner.manifest import WEIGHTS, Checkpoint
from learner.model import load_policy, save_configuration

log = logging.getLogger(__name__)


class Trainable:
    """The policy of one rank. It has the initial weights until `resume` or `load` loads a checkpoint."""

    def __init__(
        self,
        settings: LearnerSettings,
        *,
        dtype: str,
        device: str,
        model_path: Path,
        checkpoints: Path,
        temperature: float,
        entropy_gradient: bool = False,
        more_settings: Mapping[str, Any] | None = None,
    ) -> None:
        """`dtype`, `device`: `model.dtype`, `deploy.device`. `temperature`: of the distribution whose log-probabilities
        are trained. `entropy_gradient`: entropies have a gradient, for an entropy bonus. `more_settings`: other values
        a checkpoint depends on, besides `settings` and `dtype`."""
        self._model_path = model_path
        self._policy = load_policy(
            model_path,
            dtype=getattr(torch, dtype),
            temperature=temperature,
            chunk_tokens=settings.logprob_chunk_tokens,
            packing=settings.packing,
            attention=settings.attention,
            gradient_checkpointing=settings.gradient_checkpointing,
            entropy_gradient=entropy_gradient,
        )
        self.engine = DeepSpeedEngine(
            self._policy,
            settings,
            dtype=getattr(torch, dtype),
            device=torch.device("cuda", 0) if device == "cuda" else torch.device("cpu"),
        )
        self.checkpoints = Checkpoints(
            checkpoints,
            self.engine.ranks,
            keep=settings.keep_checkpoints,
            settings={
                **{f"learner.{name}": value for name, value in asdict(settings).items()},
                "model.dtype": dtype,
                **(more_settings or {}),
            },
        )

    def resume(self) -> int | None:
        """Loads the newest intact checkpoint. Returns its step; None when there is none."""
        checkpoint = self.checkpoints.newest()
        if checkpoint is None:
            return None
        self._load(checkpoint)
        log.info("resumed at step %d", checkpoint.step)
        return checkpoint.step

    def restore(self, step: int) -> None:
        """Loads an earlier checkpoint in place, in the midst of training. Raises CheckpointError if it is damaged."""
        self._load(self.checkpoints.intact(step))

    def load(self, step: int) -> None:
        """Loads the checkpoint of a step. The caller has verified its files."""
        self._load(self.checkpoints.at(step))

    def _load(self, checkpoint: Checkpoint) -> None:
        self.engine.load(checkpoint.folder)
        self.checkpoints.restore_rng(checkpoint)

    def save(
        self,
        step: int,
        confirm: Callable[[], None] = lambda: None,
        *,
        facts: Mapping[str, Any] | None = None,
        also_keep: Collection[int] = (),
    ) -> bool:
        """Saves a checkpoint of this step, which includes a Hugging Face folder. False: it failed, training continues.

        `facts`, `also_keep`: see `Checkpoints.save`.
        Rank 0 calls `confirm` before the checkpoint becomes visible; its exceptions abort the save and propagate.
        """
        weights = self.engine.gather_weights()

        def write(folder: Path) -> None:
            self.engine.save(folder)
            failpoint("checkpoint.state")
            if self.engine.ranks.first:
                self._write_model(weights, folder)

        return self.checkpoints.save(step, write, confirm, facts=facts, also_keep=also_keep)

    def save_model(self, folder: Path) -> None:
        """Writes the current weights as a Hugging Face folder; equal weights give an identical file."""
        weights = self.engine.gather_weights()
        if self.engine.ranks.first:
            self._write_model(weights, folder)

    def _write_model(self, weights: dict[str, Tensor], folder: Path) -> None:
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
        save_configuration(self._policy, self._model_path, folder)
