"""One process of a scene.

    python -m tests.faults.worker preprocess OPTIONS.json     a preprocessing worker
    python -m tests.faults.worker actor|learner READY         a role under a supervisor: it makes the file READY once
                                                              it is up, and reads its options from its first line
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conf.load import load


def preprocess(options: dict[str, Any]) -> None:
    from preprocess.preprocessor import Preprocessor

    folder = Path(options["folder"])
    Preprocessor(load(folder / "settings.yaml"), options["redis_url"], options["consumer"], run_folder=folder).run()


def actor() -> Callable[[dict[str, Any]], None]:
    """An actor with an engine that is played; everything else of it is real."""
    from tests.faults.played_engine import run_actor

    return run_actor


def learner() -> Callable[[dict[str, Any]], None]:
    """A rank of the real learner."""
    import torch

    from learner.deepspeed_engine import import_deepspeed
    from tests.learner import rank_main

    import_deepspeed(torch.device("cpu"))  # holds the interpreter for seconds, in which nobody gives a sign of life
    torch.set_num_threads(1)

    def run(options: dict[str, Any]) -> None:
        os.environ.update(options.pop("environment"))
        rank_main.learner(options)

    return run


if __name__ == "__main__":
    if sys.argv[1] == "preprocess":
        preprocess(json.loads(Path(sys.argv[2]).read_text()))
    else:
        work = {"actor": actor, "learner": learner}[sys.argv[1]]()
        Path(sys.argv[2]).touch()
        if line := sys.stdin.readline():
            work(json.loads(line))
