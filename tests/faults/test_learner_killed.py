"""The learner is killed during a complete run, which recovers and ends successfully."""

import json
from pathlib import Path

import pytest

from tests.runs import finish, start_on, start_run

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


def test_a_run_survives_the_death_of_its_learner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POPE_FAILPOINTS", "learner.after_optimizer:kill@4")
    run = start_run(tmp_path, "run.max_steps=6", "learner.checkpoint_every=2", name="killed")
    output = run.wait(480)
    assert run.process.returncode == 0, output + run.logs()
    assert run.left_behind() == []
    summary = run.summary()
    assert (summary["restarts"], summary["steps"]) == (1, 6)
    assert summary["ended"].startswith("run.max_steps")
    assert summary["counters"]["balanced"], json.dumps(summary["counters"])
    steps = [json.loads(line) for line in (run.folder / "metrics/learner.jsonl").read_text().splitlines()]
    assert [int(row["step"]) for row in steps if "step" in row] == list(range(1, 7)), "every step is reported once"
    monkeypatch.delenv("POPE_FAILPOINTS")
    audited = finish(start_on(run.folder, "audit"))
    assert "in 2 incarnations of the learner" in audited
    assert audited.partition("promises")[2].count("holds") == 8, audited
