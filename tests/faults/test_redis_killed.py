"""The embedded Redis is killed during a complete run: every role waits for its restart, and nothing is lost."""

import json
import signal
from pathlib import Path

import pytest

from tests.runs import start_run, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]


def test_a_run_survives_the_sigkill_of_its_redis(tmp_path: Path) -> None:
    run = start_run(tmp_path, "run.max_steps=6", "problems.num_hard=8", name="killed")
    try:
        killed = []
        for step in (1, 3):
            wait_until(lambda step=step: run.process.poll() is not None or run.steps() >= step, 420, f"step {step}")
            assert run.process.poll() is None, run.wait(1) + run.logs()
            (server,) = [process for process in run.descendants() if process.name() == "valkey-server"]
            server.send_signal(signal.SIGKILL)
            killed.append(server.pid)
        output = run.wait(360)
    finally:
        if run.process.poll() is None:
            run.kill()
    assert run.process.returncode == 0, output + run.logs()
    assert len(set(killed)) == 2, "it was started again in between"
    assert output.count("the embedded Redis ended and was restarted") == 2, output
    assert "note: Redis was restarted; the run continues" in output
    summary = run.summary()
    assert (summary["steps"], summary["restarts"]) == (6, 0), "no role had to be replaced"
    assert summary["counters"]["balanced"], json.dumps(summary["counters"])
    assert run.left_behind() == []
