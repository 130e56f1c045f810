"""Replacements of the loggers' libraries for `sys.path`. Each call becomes a line of $FAKE_LOG."""

import json
from pathlib import Path
from typing import Any

_RECORD = """
import json, os, types

def record(*call):
    with open(os.environ["FAKE_LOG"], "a") as file:
        file.write(json.dumps(call, default=str) + "\\n")
"""
_RUN = """
class Run:
    id = "given"
    def log(self, numbers, step):
        record("log", step, numbers)
    def finish(self):
        record("finish")
"""
SOURCES = {
    "wandb": _RECORD + _RUN + """
def init(**arguments):
    record("init", arguments)
    run = Run()
    run.id = arguments.get("id", run.id)
    return run
""",
    "trackio": _RECORD + _RUN + """
def init(**arguments):
    record("init", arguments)
    return Run()
""",
    "mlflow": _RECORD + """
def set_tracking_uri(uri):
    record("uri", uri)
def set_experiment(name):
    record("experiment", name)
def start_run(run_id=None, run_name=None):
    record("init", {"run_id": run_id, "run_name": run_name})
    return types.SimpleNamespace(info=types.SimpleNamespace(run_id=run_id or "given"))
def log_params(values):
    record("params", values)
def log_metrics(numbers, step):
    record("log", step, numbers)
def end_run():
    record("finish")
""",
    "failing": 'def init(**arguments):\n    raise ConnectionError("no network\\nand more")\n',
    "blocking": "import time\ndef init(**arguments):\n    time.sleep(60)\n",
}  # fmt: skip


def install(folder: Path, name: str, source: str | None = None) -> None:
    """Write the module `name` to a folder; `source`: another of SOURCES, such as one that fails."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(SOURCES[source or name])


def calls(log: Path) -> list[list[Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def logged(log: Path) -> dict[int, dict[str, float]]:
    """Step -> its numbers. Fails when a step was logged twice or out of order."""
    steps = [call[1:] for call in calls(log) if call[0] == "log"]
    assert [step for step, _ in steps] == sorted({step for step, _ in steps})
    return dict(steps)
