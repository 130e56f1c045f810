"""Trackio: a local database, or a space of the hub ($TRACKIO_SPACE_ID)."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import trackio

from conf.schema import RunConfig
from deploy.loggers.writers import PROJECT


class Trackio:
    """A run is known by its name, so the name is the id."""

    def __init__(self, run: Any, name: str) -> None:
        self._run, self.run = run, name

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log(dict(numbers), step=step)

    def close(self) -> None:
        self._run.finish()


def open_writer(config: RunConfig, folder: Path, run: str, *, resumed: bool) -> Trackio:
    begun = trackio.init(project=PROJECT, name=run, config=asdict(config), resume="allow")
    return Trackio(begun, run)
