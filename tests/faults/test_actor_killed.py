"""An actor is killed during generation: nothing is lost and none of its processes stays."""

import json
import signal
from pathlib import Path

import psutil
import pytest

from tests.runs import Run, start_run, surviving, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]


def actor_process(run: Run) -> psutil.Process | None:
    """The Ray worker that runs the actor role."""
    found = [p for p in run.descendants() if "ActorRole" in " ".join(p.cmdline())]
    return found[0] if found else None


def test_a_run_survives_the_sigkill_of_its_actor(tmp_path: Path) -> None:
    run = start_run(tmp_path, "run.max_steps=12", "actors.lease_s=5", name="killed")
    try:
        wait_until(lambda: run.process.poll() is not None or run.steps() >= 2, 420, "two optimizer steps")
        assert run.process.poll() is None, run.wait(1) + run.logs()
        victim = actor_process(run)
        assert victim is not None
        family = [victim, *victim.children(recursive=True)]
        assert len(family) >= 3, "the actor, vLLM's core and its worker"
        victim.send_signal(signal.SIGKILL)
        assert surviving(family) == [], "vLLM's processes must not outlive their actor"
        output = run.wait(360)
    finally:
        if run.process.poll() is None:
            run.kill()
    assert run.process.returncode == 0, output + run.logs()
    summary = run.summary()
    assert summary["restarts"] == 1
    assert summary["steps"] == 12
    assert summary["counters"]["balanced"], json.dumps(summary["counters"])
    assert run.left_behind() == []
