"""Weights & Biases, online or offline ($WANDB_MODE)."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import wandb

from conf.schema import RunConfig
from deploy.loggers.writers import PROJECT

_VARIABLES = {
    "project": "WANDB_PROJECT",
    "name": "WANDB_NAME",
    "id": "WANDB_RUN_ID",
    "resume": "WANDB_RESUME",
    "dir": "WANDB_DIR",
}
"""Arguments that W&B would prefer to the user's variables, which are therefore left out where the variable is set."""


class WeightsAndBiases:
    """Numbers by optimizer step. W&B ignores steps that a resumed run has already."""

    def __init__(self, run: Any) -> None:
        self._run = run
        self.run = str(run.id)

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log(dict(numbers), step=step)

    def close(self) -> None:
        self._run.finish()


def open_writer(config: RunConfig, folder: Path, run: str, *, resumed: bool) -> WeightsAndBiases:
    ours = {"project": PROJECT, "name": config.run.name, "id": run, "resume": "allow", "dir": str(folder)}
    arguments = {name: value for name, value in ours.items() if _VARIABLES[name] not in os.environ}
    return WeightsAndBiases(wandb.init(config=asdict(config), **arguments))
