"""A preprocessor in a process of its own: one of the `PROGRAMS` of `tests.learner.ranks`, or, for a parent that it must
not outlive, `python -m tests.faults.preprocess_worker OPTIONS.json`."""

import json
import sys
from pathlib import Path
from typing import Any

from conf.load import load
from preprocess.preprocessor import Preprocessor


def preprocess(options: dict[str, Any]) -> None:
    folder = Path(options["folder"])
    Preprocessor(
        load(folder / "settings.yaml"), options["redis_url"], options["consumer"], run_folder=folder
    ).run()


PROGRAMS = {"preprocess": preprocess}

if __name__ == "__main__":
    preprocess(json.loads(Path(sys.argv[1]).read_text()))
