"""A rank that saves while disks are full, one of the `PROGRAMS` of `tests.learner.ranks`.

`troubles` holds the disk fault of each save: "" (none), "full" (the file system is full), "rank-R" (rank R cannot write
large files). Rank 0 prints a JSON line for each save: {trouble, saved, newest, seconds}.
"""

import json
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from learner.manifest import CheckpointError, find_newest_valid
from learner.trainable import Trainable
from tests.learner.rank_main import GROUP_SIZE, run_config, train
from tests.learner.tiny import random_groups

MOST_BYTES = 20_000
"""Size limit of files on a rank that cannot write: log lines fit in, a checkpoint does not."""


def save(options: dict[str, Any]) -> None:
    folder, rank = Path(options["folder"]), int(os.environ["RANK"])
    config = run_config("x", zero_stage=options["zero_stage"])
    config = replace(config, learner=replace(config.learner, keep_checkpoints=1))
    trainable = Trainable(
        config.learner, dtype="float32", device="cpu", model_path=Path(options["model_path"]), checkpoints=folder,
        temperature=1.0,
    )  # fmt: skip
    for step, trouble in enumerate(options["troubles"], start=1):
        train(trainable.engine, random_groups(3, GROUP_SIZE, seed=step), config, step=step)
        started = time.monotonic()
        try:
            with _full(folder / "ballast", trouble == "full" and rank == 0), _limited(trouble == f"rank-{rank}"):
                trainable.engine.ranks.any(False)  # a barrier: no rank saves before the fault is set up
                saved: bool | str = trainable.save(step)
                trainable.engine.ranks.any(False)
        except CheckpointError as error:
            saved = str(error)
        if rank == 0:
            newest = find_newest_valid(folder)
            result = {"saved": saved, "newest": newest and newest.step, "seconds": time.monotonic() - started}
            print(json.dumps({"trouble": trouble, **result}), flush=True)
    trainable.engine.close()


@contextmanager
def _full(ballast: Path, wanted: bool) -> Iterator[None]:
    """Fill the file system but for a few KiB, for as long as this lasts."""
    if wanted:
        usage = os.statvfs(ballast.parent)
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, (usage.f_bavail - 4) * usage.f_frsize)
    yield
    if wanted:
        ballast.unlink()


@contextmanager
def _limited(wanted: bool) -> Iterator[None]:
    """Limit the size of files this process writes, for as long as this lasts."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if wanted:
        resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_BYTES, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


PROGRAMS = {"save": save}
