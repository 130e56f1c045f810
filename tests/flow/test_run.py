"""Complete runs of `pope train`, with all roles."""

import json
from pathlib import Path

import pytest

from broker.reports import LearnerStep
from deploy.store.metric_files import read_reports
from deploy.store.rollout_archive import read_rollouts
from tests.runs import PATIENCE_S, finish, interrupt, start_on, start_run

pytestmark = [pytest.mark.flow, pytest.mark.timeout(2 * PATIENCE_S)]


def test_a_run_is_interrupted_and_resumed_and_its_measurements_counters_and_folder_are_complete(tmp_path: Path) -> None:
    schedule = ("evaluation.every_steps=2", "evaluation.every_samples=1")
    settings = ("run.max_steps=8", "learner.checkpoint_every=3", *schedule)
    run = start_run(tmp_path, *settings)
    run.wait_until(lambda: run.steps() >= 3, "three optimizer steps")
    interrupt(run)
    output = run.wait()
    assert run.process.returncode == 130, output + run.logs()
    assert run.left_behind() == []
    assert "model check: learner = model within" in output
    summary = run.summary()
    assert summary["ended"] == "interrupted by SIGINT"
    assert 3 <= summary["steps"] < 8
    assert summary["counters"]["balanced"]

    run = start_run(tmp_path, *settings, "run.resume=true")
    output = run.wait()
    assert run.process.returncode == 0, output + run.logs()
    assert run.left_behind() == []
    summary = run.summary()
    assert summary["steps"] == 8
    assert summary["ended"].startswith("run.max_steps")
    counters = summary["counters"]
    assert counters["balanced"]
    assert counters["trained"] == 8 * 4, "a resumed run trains nothing twice and skips nothing"
    assert counters["issued"] == counters["trained"] + sum(counters["filtered"].values()) + counters["replaced"] + (
        counters["stale"] + sum(counters["failed"].values()) + sum(counters["in_flight"].values())
    )
    assert summary["sync"]["count"] >= 1
    assert summary["sync"]["stall_ms_p50"] > 0
    for arm in ("unguided", "guided"):
        assert set(summary["hard"]["before"][arm]) == {"pass@1", "pass@8"}
        assert set(summary["hard"]["after"][arm]) == {"pass@1", "pass@8"}
    kept = ("settings.yaml", "handshake.json", "problems.jsonl", "measurements.json", "samples.md", "figure.png")
    for name in (*kept, "balance.json"):
        assert (run.folder / name).stat().st_size > 0, name
    steps = list(read_reports(run.folder / "metrics", LearnerStep))
    assert [step.step for step in steps] == list(range(1, 9))
    assert all(step.ess > 0 for step in steps)
    assert steps[0].logprob_rms_lag0 == steps[0].logprob_rms, "at the first step every token has lag 0"
    assert (run.folder / "checkpoints" / "LATEST").exists()
    assert json.loads((run.folder / "ledger.json").read_text())
    table = json.loads((run.folder / "starvation.json").read_text())
    assert sum(row["rollouts"] for row in table) == 8 * counters["issued"]
    assert sum(row["ended"].get("trained", 0) for row in table) == 8 * counters["trained"]
    assert {part.partition("/")[0] for step in steps for part in step.advantage_share} == {"hard"}
    for step in steps:  # a step whose groups all failed or all succeeded has no advantage to share
        assert sum(step.advantage_share.values()) == pytest.approx(1.0 if step.advantage_share else 0.0)
        assert bool(step.advantage_share) == (step.learning_rate > 0)
    assert "transfer" in summary
    # In an evaluation during training each group was written by one policy version.
    assert summary["evaluations"]
    evaluated = list(read_rollouts(run.folder / "sampling" / "evaluation"))
    assert len(evaluated) >= 16
    for group in evaluated:
        assert len({c.version_spans for c in group.rollouts}) == 1, group.problem_id
        assert len(group.rollouts[0].version_spans) == 1

    audited = finish(start_on(run.folder, "audit"))
    assert audited.partition("promises")[2].count("holds") == 11, audited
    assert "BROKEN" not in audited
    assert "not checked" not in audited
    # Checkpoints of steps 6 and 8 exist: a replay reaches the weights of step 8 again, bit for bit.
    replayed = finish(start_on(run.folder, "replay"))
    assert "equal to the run's in 2 of 2 reported steps" in replayed
    assert "equal to the run's checkpoint" in replayed

    assert "step 8" in finish(start_on(run.folder, "publish"))
    text = (run.folder / "published" / "README.md").read_text()
    for row in ("before, unguided", "before, guided", "after, unguided", "after, guided"):
        assert f"| {row} " in text, "the measurements after training are those of the newest checkpoint"
