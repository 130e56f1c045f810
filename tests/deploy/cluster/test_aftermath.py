"""A driver that is killed leaves no process and no weights in memory."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
DRIVER = """
import os, subprocess, sys, time
from deploy.cluster.aftermath import Aftermath
inner = "import subprocess, sys; subprocess.run(['sleep', '600'])"
with Aftermath() as aftermath:
    os.mkdir(sys.argv[1])
    aftermath.remove(sys.argv[1])
    role = subprocess.Popen([sys.executable, "-c", inner], start_new_session=True)
    while not (children := open(f"/proc/{role.pid}/task/{role.pid}/children").read().split()): time.sleep(0.01)
    print(role.pid, *children, flush=True)
    if sys.argv[2] == "wait": time.sleep(600)
print("ended", flush=True)
"""


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("end", ["killed", "ended"])
def test_what_a_driver_leaves_is_removed(tmp_path: Path, end: str) -> None:
    folder = tmp_path / "weights"
    command = [sys.executable, "-c", DRIVER, str(folder), "wait" if end == "killed" else "end"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        processes = [int(word) for word in driver.stdout.readline().split()]
        assert len(processes) == 2
        if end == "killed":
            assert all(map(lives, processes))
            assert folder.exists()
            os.kill(driver.pid, signal.SIGKILL)
            until(lambda: not folder.exists())
        else:
            assert driver.stdout.readline() == "ended\n"
            assert folder.exists(), "a driver that ends removes its own folders"
        until(lambda: not any(map(lives, processes)))
