"""`pope export`: every number of every step as TensorBoard event files, or as a run of Weights & Biases."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from broker.errors import UsageError
from broker.reports import SftStep
from conf.schema import RunConfig
from deploy.dashboard.steps import Steps
from deploy.store.run_view import Reports
from deploy.store.step_numbers import Rows, StepNumbers

Target = Literal["tensorboard", "wandb"]
Put = Callable[[int, dict[str, float]], None]
"""Writes the scalars of one step."""
PROJECT = "pope-rl"
"""Project at Weights & Biases without $WANDB_PROJECT."""


def exported_rows(reports: Reports, sft: Iterable[SftStep] = ()) -> Rows:
    """All numbers of a run by step, each under one name."""
    numbers, derived = StepNumbers(), Steps()
    numbers.add_steps(reports.learner)
    numbers.add_steps(sft, prefix="sft/")
    for work in (reports.syncs, reports.outputs, reports.groups, reports.preprocess):
        numbers.add_work(work)
    numbers.add_times(reports.times, ((report.unix_s, report.step) for report in reports.learner))
    derived.add_groups(reports.groups)
    derived.add_outputs(reports.outputs)
    rows = numbers.rows()
    for step, row in derived.rows.items():
        rows.setdefault(step, {}).update(row)
    return {step: dict(sorted(rows[step].items())) for step in sorted(rows)}


def export(config: RunConfig, rows: Rows, target: Target, folder: Path, run_id: str | None = None) -> int:
    """Write every step of a run; returns how many. Event files and W&B's own files go to `folder`.

    `run_id`: a second export to W&B continues the run of this id instead of beginning another.
    Raises UsageError when the library is not installed, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {folder}: {error.strerror}; name a folder that can be written") from error
    opened = _tensorboard(folder) if target == "tensorboard" else _wandb(config, folder, run_id)
    with opened as put:
        for step, row in rows.items():
            put(step, row)
    return len(rows)


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
def _wandb(config: RunConfig, folder: Path, run_id: str | None) -> Iterator[Put]:
    """$WANDB_PROJECT, $WANDB_ENTITY, $WANDB_RUN_ID, $WANDB_MODE and the others of W&B count."""
    try:
        import wandb
    except ModuleNotFoundError:
        raise UsageError("--to wandb needs Weights & Biases: pip install wandb, then wandb login") from None
    run: Any = wandb.init(
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        name=config.run.name,
        id=os.environ.get("WANDB_RUN_ID", run_id),
        resume="allow",
        dir=str(folder),
        config=asdict(config),
    )
    try:
        yield lambda step, scalars: run.log(scalars, step=step)
    finally:
        run.finish()
