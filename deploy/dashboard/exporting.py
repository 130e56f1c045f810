"""`pope export`: the step table of a run as TensorBoard event files, or as a run of Weights & Biases."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from broker.errors import UsageError
from deploy.dashboard.run_model import RunModel

Target = Literal["tensorboard", "wandb"]
Put = Callable[[int, dict[str, float]], None]
"""Writes the scalars of one step."""


def export(model: RunModel, target: Target, folder: Path) -> int:
    """Write every step of a run; returns how many. Event files and W&B's own files go to `folder`.

    Raises UsageError when the library is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    opened = _tensorboard(folder) if target == "tensorboard" else _wandb(model, folder)
    with opened as put:
        for step in sorted(model.steps.rows):
            put(step, dict(sorted(model.steps.rows[step].items())))
    return len(model.steps.rows)


@contextmanager
def _tensorboard(folder: Path) -> Iterator[Put]:
    try:
        from tensorboardX import SummaryWriter
    except ModuleNotFoundError:
        raise UsageError("--to tensorboard needs tensorboardX: pip install tensorboardX") from None
    with SummaryWriter(str(folder)) as writer:

        def put(step: int, scalars: dict[str, float]) -> None:
            for name, value in scalars.items():
                writer.add_scalar(name, value, step)

        yield put


@contextmanager
def _wandb(model: RunModel, folder: Path) -> Iterator[Put]:
    try:
        import wandb
    except ModuleNotFoundError:
        raise UsageError("--to wandb needs Weights & Biases: pip install wandb, then wandb login") from None
    config = model.config
    run: Any = wandb.init(project="pope-rl", name=config.run.name, dir=str(folder), config=asdict(config))
    try:
        yield lambda step, scalars: run.log(scalars, step=step)
    finally:
        run.finish()
