import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker import failpoints
from broker.errors import UsageError
from broker.failpoints import POINTS, FailpointReached, arm, failpoint, parse
from tests.rules.source import REPOSITORY

POINT = "learner.after_take"


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    arm("", None)


def child(code: str, text: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs `code` in a process with failpoints in its environment."""
    environment = {**os.environ, failpoints.VARIABLE: text}
    if folder is not None:
        environment[failpoints.FOLDER_VARIABLE] = str(folder)
    code = f"from broker.failpoints import failpoint\n{code}\nprint('lives')"
    return subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60
    )


def test_without_failpoints_nothing_happens() -> None:
    for point in POINTS:
        failpoint(point)


def test_a_point_acts_the_nth_time_and_once() -> None:
    arm(f"{POINT}:raise@3, learner.after_commit:raise", None)
    failpoint(POINT)
    failpoint(POINT)
    with pytest.raises(FailpointReached, match=r"learner\.after_take: the batch is in the log"):
        failpoint(POINT)
    failpoint(POINT)
    with pytest.raises(FailpointReached):
        failpoint("learner.after_commit")


def test_sleep_delays_the_process() -> None:
    arm(f"{POINT}:sleep:0.2", None)
    started = time.monotonic()
    failpoint(POINT)
    assert time.monotonic() - started >= 0.2


def test_kill_ends_the_process_and_acts_once_a_run(tmp_path: Path) -> None:
    code = f"failpoint('{POINT}'); failpoint('{POINT}')"
    first = child(code, f"{POINT}:kill@2", tmp_path / "markers")
    assert (first.returncode, first.stdout) == (-signal.SIGKILL, "")
    second = child(code, f"{POINT}:kill@2", tmp_path / "markers")
    assert (second.returncode, second.stdout) == (0, "lives\n")
    assert [path.name for path in (tmp_path / "markers").iterdir()] == ["learner.after_take-kill-2"]


def test_stop_hangs_the_process() -> None:
    environment = {**os.environ, failpoints.VARIABLE: f"{POINT}:stop"}
    code = f"from broker.failpoints import failpoint; failpoint('{POINT}'); print('lives')"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        process.send_signal(signal.SIGCONT)
        assert process.communicate(timeout=60)[0] == "lives\n"
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("learner.befor_commit:kill", "there is no failpoint 'learner.befor_commit'; there are actor.claimed, "),
        ("learner.after_commit:explode", "'learner.after_commit:explode' is not POINT:ACTION[@N]"),
        ("learner.after_commit", "is not POINT:ACTION[@N]"),
        ("learner.after_commit:kill@0", "is not POINT:ACTION[@N]"),
        ("learner.after_commit:sleep", "is not POINT:ACTION[@N] with ACTION kill, stop, raise or sleep:SECONDS"),
    ],
)
def test_an_invalid_entry_is_refused_with_the_remedy(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(f"learner.after_take:kill,{text}")
    assert said in str(caught.value)
    assert failpoints.VARIABLE in str(caught.value)


def test_a_run_with_an_unknown_point_does_not_start(tmp_path: Path) -> None:
    environment = {**os.environ, failpoints.VARIABLE: "learner.nowhere:kill"}
    result = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "train", f"run.root={tmp_path}"],
        cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert result.returncode == 2
    assert result.stderr.startswith("pope: POPE_FAILPOINTS: there is no failpoint 'learner.nowhere'")
    assert not list(tmp_path.iterdir())


def test_markers_are_created_in_the_run_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(failpoints.VARIABLE, raising=False)
    failpoints.choose_folder(tmp_path)
    assert failpoints.environment() == {}
    monkeypatch.setenv(failpoints.VARIABLE, f"{POINT}:raise")
    monkeypatch.delenv(failpoints.FOLDER_VARIABLE, raising=False)
    failpoints.choose_folder(tmp_path)
    environment = failpoints.environment()
    assert environment == {
        failpoints.VARIABLE: f"{POINT}:raise",
        failpoints.FOLDER_VARIABLE: str(tmp_path / failpoints.FOLDER),
    }
    with pytest.raises(FailpointReached):
        failpoint(POINT)
    assert list((tmp_path / failpoints.FOLDER).iterdir())
    monkeypatch.delenv(failpoints.FOLDER_VARIABLE)


def test_an_unset_failpoint_is_fast() -> None:
    started = time.perf_counter()
    for _ in range(100_000):
        failpoint(POINT)
    assert time.perf_counter() - started < 2.0
