"""Processes of tests that are forked from one that has imported what they use: that takes longer than what most of them
do."""

import multiprocessing
import os
from pathlib import Path

import torch

from broker import failpoints

FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(
    ["tests.faults.local_roles", "tests.faults.preprocess_worker", "tests.faults.saving_rank"]
)


def import_everything() -> None:
    """Returns when processes can be forked. Called before something is timed that forks."""
    first = FORKING.Process(target=int)
    first.start()
    first.join()


def begin(log: Path, fails: str, markers: Path | None = None) -> None:
    """What a forked process calls first: its output goes to the end of `log`, it computes with one thread, and it fails
    at the failpoints `fails`, each of them once per folder `markers`."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    torch.set_num_threads(1)
    failpoints.arm(fails, None if markers is None else str(markers))
