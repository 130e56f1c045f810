"""The death of a child named raylet is noticed."""

import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.cluster.raylet_watch import RayletLost, RayletWatch


def test_a_raylet_that_ended_is_noticed(tmp_path: Path) -> None:
    program = shutil.which("sleep")
    assert program is not None
    with subprocess.Popen([shutil.copy(program, tmp_path / "raylet"), "600"]) as raylet:
        watch = RayletWatch()
        watch()
        raylet.kill()
        raylet.wait()
        with pytest.raises(RayletLost, match=r"run\.resume=true"):
            watch()


def test_a_process_without_a_raylet_has_nothing_to_watch() -> None:
    RayletWatch()()
