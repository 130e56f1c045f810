"""Redis, the actor and the learner are killed one after another during a complete run: nothing is lost, none stays."""

import json
import signal
from pathlib import Path

import pytest

from tests.runs import PATIENCE_S, Run, finish, start_on, start_run, surviving

pytestmark = [pytest.mark.faults, pytest.mark.timeout(2 * PATIENCE_S)]

STEPS = 10


def test_a_run_survives_the_deaths_of_its_redis_its_actor_and_its_learner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POPE_FAILPOINTS", "learner.after_optimizer:kill@8")
    settings = (f"run.max_steps={STEPS}", "learner.checkpoint_every=2", "actors.lease_s=5")
    run = start_run(tmp_path, *settings, name="killed")
    try:
        servers = [kill_redis(run, step) for step in (1, 3)]
        kill_actor(run, step=4)
        output = run.wait()
    finally:
        if run.process.poll() is None:
            run.kill()
    assert run.process.returncode == 0, output + run.logs()
    assert run.left_behind() == []
    assert len(set(servers)) == 2, "Redis was started again in between"
    assert output.count("the embedded Redis ended and was restarted") == 2, output
    assert "note: Redis was restarted; the run continues" in output

    summary = run.summary()
    assert (summary["restarts"], summary["steps"]) == (2, STEPS), "of the actor and the learner; Redis replaces no role"
    assert summary["ended"].startswith("run.max_steps")
    assert summary["counters"]["balanced"], json.dumps(summary["counters"])
    steps = [json.loads(line) for line in (run.folder / "metrics/learner.jsonl").read_text().splitlines()]
    reported = [int(row["step"]) for row in steps if "step" in row]
    assert reported == list(range(1, STEPS + 1)), "every step is reported once"
    monkeypatch.delenv("POPE_FAILPOINTS")
    audited = finish(start_on(run.folder, "audit"))
    assert "in 2 incarnations of the learner" in audited
    assert audited.partition("promises")[2].count("holds") == 11, audited


def kill_redis(run: Run, step: int) -> int:
    """Kill the embedded Redis once a step is committed. Returns its pid."""
    wait_for_step(run, step)
    (server,) = [process for process in run.descendants() if process.name() == "valkey-server"]
    server.send_signal(signal.SIGKILL)
    return server.pid


def kill_actor(run: Run, step: int) -> None:
    """Kill the Ray worker of the actor role once a step is committed. vLLM's processes must not outlive it."""
    wait_for_step(run, step)
    (victim,) = [process for process in run.descendants() if "ActorRole" in " ".join(process.cmdline())]
    family = [victim, *victim.children(recursive=True)]
    assert len(family) >= 3, "the actor, vLLM's core and its worker"
    victim.send_signal(signal.SIGKILL)
    assert surviving(family) == []


def wait_for_step(run: Run, step: int) -> None:
    run.wait_until(lambda: run.steps() >= step, f"step {step}")
    assert run.process.poll() is None, run.wait(1) + run.logs()
