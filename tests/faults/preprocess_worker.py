"""A preprocessor in a process: `python -m tests.faults.preprocess_worker preprocess OPTIONS.json`."""

import json
import sys
from pathlib import Path

from conf.load import load
from preprocess.preprocessor import Preprocessor

if __name__ == "__main__":
    options = json.loads(Path(sys.argv[2]).read_text())
    folder = Path(options["folder"])
    Preprocessor(
        load(folder / "settings.yaml"), options["redis_url"], options["consumer"], run_folder=folder
    ).run()
