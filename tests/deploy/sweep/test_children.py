"""A run as a child process: its arguments, its exit code, its end with the parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from deploy.sweep.children import Process
from tests.runs import REPOSITORY
from tests.waiting import wait_until


def ended(child: Process, timeout_s: float = 120.0) -> int:
    wait_until(lambda: child.poll() is not None, "the end of the child", timeout_s)
    code = child.poll()
    assert code is not None
    return code


def test_a_childs_words_are_logged_and_its_code_is_known(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.write_text("an earlier call\n")
    child = Process([f"run.root={tmp_path}", "learner.batch_samples=60"], log)
    assert ended(child) == 2
    assert child.last_line().startswith("pope: command line: learner.batch_samples=60 is not a multiple")
    assert log.read_text().startswith("an earlier call\n")
    child.interrupt()  # no effect: it has ended
    child.terminate()


def test_a_childs_end_is_an_end(tmp_path: Path) -> None:
    child = Process([f"run.root={tmp_path}"], tmp_path / "run.log")
    child.terminate()
    assert child.poll() is not None


def test_a_child_does_not_outlive_a_sweep_that_was_killed(tmp_path: Path) -> None:
    code = (
        "import pathlib, time; from deploy.sweep.children import Process\n"
        f"child = Process(['run.root={tmp_path}'], pathlib.Path({str(tmp_path / 'run.log')!r}))\n"
        "print(child._process.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    time.sleep(0.2)  # by now the death signal is set, or it ends because its parent is gone
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    _, alive = psutil.wait_procs([child], timeout=60)
    assert not alive
