"""`pope sweep` over two experiments that measure few problems, and none before training; a repeated command resumes
and repeats nothing."""

import json
from pathlib import Path

import pytest

from tests.runs import PATIENCE_S, SMALL, interrupt, start

pytestmark = [pytest.mark.flow, pytest.mark.timeout(2 * PATIENCE_S)]

MEASURED = ("evaluation.before=false", "evaluation.max_problems=4", "evaluation.samples=4", "evaluation.k=[1,4]")
TINY = (*SMALL, *MEASURED, "run.max_groups=24")


def test_an_interrupted_sweep_is_resumed_and_repeats_no_finished_run(tmp_path: Path) -> None:
    words = ("hard", "hard_guide", *TINY)
    sweep = start("sweep", tmp_path, *words, name="two")
    first, second = (sweep.folder / f"{name}-s0" for name in ("hard", "hard_guide"))
    sweep.wait_until(second.exists, "the second run")
    interrupt(sweep)
    output = sweep.wait()
    assert sweep.process.returncode == 130, output
    assert sweep.left_behind() == []
    assert "hard-s0 finished" in output
    states = {run["name"]: run["state"] for run in json.loads((sweep.folder / "sweep.json").read_text())["runs"]}
    assert states == {"hard-s0": "finished", "hard_guide-s0": "interrupted"}
    before = (first / "summary.json").stat().st_mtime_ns

    again = start("sweep", tmp_path, *words, name="two")
    output = again.wait()
    assert again.process.returncode == 0, output
    assert (first / "summary.json").stat().st_mtime_ns == before, "a finished run is not repeated"
    runs = json.loads((again.folder / "sweep.json").read_text())["runs"]
    assert [run["state"] for run in runs] == ["finished", "finished"]
    assert [run["groups"] for run in runs] == [24, 24], "equal rollouts"
    assert list(runs[1]["hard"]) == ["after"]
    assert set(runs[1]["hard"]["after"]["unguided"]) == {"pass@1", "pass@4"}
    measured = json.loads((second / "measurements.json").read_text())["after"]["unguided"]
    assert len({result["problem_id"] for result in measured}) == 4
    assert again.left_behind() == []
