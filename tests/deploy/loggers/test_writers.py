"""What each logger is given, and how a run is continued there."""

import importlib
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.errors import UsageError
from conf.load import load
from conf.schema import LoggerName
from deploy.loggers.destination import LoggerFailed, destination
from deploy.loggers.step_rows import StepRows
from deploy.loggers.writers import LIBRARIES, require_libraries
from deploy.store.step_numbers import Rows
from tests.deploy.loggers import fakes
from tests.deploy.loggers.full_reports import full_reports, names_of
from tests.reports import sft_step

CONFIG = load(None, ["run.name=demo", "broker.url=rediss://reader@redis.example:6380/0"])
NAMES = names_of(full_reports(), sft_step(1))
ROWS: Rows = {1: {"loss/mean": 0.5}, 2: {"loss/mean": 0.25}, 3: {"loss/mean": 0.125}}
FAKED: tuple[LoggerName, ...] = ("wandb", "trackio", "mlflow")


def every_row() -> Rows:
    rows = StepRows()
    rows.add(full_reports(), [sft_step(1)])
    return rows.take_rest()


def forget_libraries() -> None:
    """The next use imports them, and the modules that use them, again."""
    importlib.invalidate_caches()
    for name in FAKED:
        sys.modules.pop(name, None)
        sys.modules.pop(f"deploy.loggers.to_{name}", None)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the fakes of all libraries write their calls."""
    forget_libraries()
    for name in FAKED:
        fakes.install(tmp_path / "fakes", name)
    for variable in ("WANDB_PROJECT", "WANDB_NAME", "WANDB_RUN_ID", "WANDB_RESUME", "WANDB_DIR", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.syspath_prepend(tmp_path / "fakes")
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    yield tmp_path / "log"
    forget_libraries()


def write(name: LoggerName, folder: Path, rows: Rows) -> None:
    with destination(name, CONFIG, folder) as logger:
        logger.write({step: row for step, row in rows.items() if step >= logger.next_step})


def begun(log: Path) -> list[dict[str, Any]]:
    return [call[1] for call in fakes.calls(log) if call[0] == "init"]


@pytest.mark.parametrize("name", FAKED)
def test_every_name_of_the_reports_arrives_with_its_step_and_value(log: Path, tmp_path: Path, name: LoggerName) -> None:
    write(name, tmp_path / name, every_row())
    assert fakes.logged(log) == every_row()
    assert {key for row in fakes.logged(log).values() for key in row} >= NAMES
    assert fakes.calls(log)[-1] == ["finish"]


@pytest.mark.parametrize("name", FAKED)
def test_the_same_run_is_continued_and_no_step_is_written_twice(log: Path, tmp_path: Path, name: LoggerName) -> None:
    write(name, tmp_path / name, {1: ROWS[1]})
    write(name, tmp_path / name, ROWS)
    assert fakes.logged(log) == ROWS
    identity = {"wandb": "id", "trackio": "name", "mlflow": "run_id"}[name]
    first, second = (run[identity] for run in begun(log))
    if name == "mlflow":  # the server chooses the id
        assert (first, second) == (None, "given")
        assert [call[0] for call in fakes.calls(log)].count("params") == 1
    else:
        assert first == second
        assert first.startswith("demo-")


@pytest.mark.parametrize("name", FAKED)
def test_the_settings_arrive(log: Path, tmp_path: Path, name: LoggerName) -> None:
    write(name, tmp_path / name, {})
    rate = CONFIG.learner.learning_rate
    if name == "mlflow":
        (params,) = (call[1] for call in fakes.calls(log) if call[0] == "params")
        assert params["learner.learning_rate"] == rate
        assert ["uri", f"sqlite:///{tmp_path}/mlflow/mlflow.db"] in fakes.calls(log)
    else:
        assert begun(log)[0]["config"]["learner"]["learning_rate"] == rate
        assert begun(log)[0]["project"] == "pope-rl"


def test_the_variables_of_weights_and_biases_win(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in (("PROJECT", "mine"), ("NAME", "n"), ("RUN_ID", "r"), ("RESUME", "must"), ("DIR", "d")):
        monkeypatch.setenv(f"WANDB_{variable}", value)
    write("wandb", tmp_path / "wandb", {})
    assert set(begun(log)[0]) == {"config"}


def test_a_failing_library_is_named_in_one_line_and_the_run_keeps_its_id(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("wandb", tmp_path / "wandb", {1: ROWS[1]})
    fakes.install(tmp_path / "failing", "wandb", "failing")
    forget_libraries()
    with monkeypatch.context() as failing:
        failing.syspath_prepend(tmp_path / "failing")
        with pytest.raises(LoggerFailed, match=r"^the logger wandb failed: ConnectionError: no network$"):
            write("wandb", tmp_path / "wandb", ROWS)
    forget_libraries()
    write("wandb", tmp_path / "wandb", ROWS)
    assert fakes.logged(log) == ROWS
    assert len({run["id"] for run in begun(log)}) == 1


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_missing_library_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: LoggerName
) -> None:
    monkeypatch.setattr("deploy.loggers.writers.find_spec", lambda library: None)
    with pytest.raises(UsageError, match=f"{name} needs .* pip install {LIBRARIES[name]}$"):
        require_libraries([name])


def test_a_folder_in_which_another_process_writes_is_refused(log: Path, tmp_path: Path) -> None:
    with (
        destination("wandb", CONFIG, tmp_path / "wandb"),
        pytest.raises(UsageError, match=r"another process writes to .*--out"),
    ):
        write("wandb", tmp_path / "wandb", ROWS)


def test_a_folder_that_cannot_be_written_and_a_damaged_record_are_named(log: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"file: .*--out"):
        write("wandb", tmp_path / "file", ROWS)
    write("wandb", tmp_path / "wandb", ROWS)
    (tmp_path / "wandb" / "pope.json").write_text("{")
    with pytest.raises(UsageError, match=r"pope\.json is damaged: .*move its folder away"):
        write("wandb", tmp_path / "wandb", ROWS)


# The libraries themselves ---------------------------------------------------------------------------------------------


def test_the_event_files_of_tensorboard_hold_every_number_of_every_step(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="make setup installs it")
    from tensorboardX.proto.event_pb2 import Event

    rows = every_row()
    write("tensorboard", tmp_path / "tb", {step: row for step, row in rows.items() if step < 2})
    write("tensorboard", tmp_path / "tb", rows)
    found: dict[tuple[int, str], float] = {}
    for file in sorted((tmp_path / "tb").glob("events.out.tfevents.*")):
        content, start = file.read_bytes(), 0
        while start < len(content):  # a record: length, its checksum, data, its checksum
            (length,) = struct.unpack_from("<Q", content, start)
            event = Event.FromString(content[start + 12 : start + 12 + length])
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    assert (event.step, value.tag) not in found
                    found[event.step, value.tag] = value.simple_value
                else:
                    assert b"learning_rate" in value.tensor.string_val[0]
            start += 16 + length
    assert found == pytest.approx({(step, n): v for step, row in rows.items() for n, v in row.items()}, rel=1e-6)


def test_the_files_of_weights_and_biases_offline_hold_every_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason="an optional package: pip install wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    write("wandb", tmp_path, every_row())
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    content = file.read_bytes()
    assert not [name for name in NAMES if name.encode() not in content]


def test_the_database_of_trackio_holds_every_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio", reason="an optional package: pip install trackio")
    write("trackio", tmp_path, every_row())
    content = b"".join(file.read_bytes() for file in (tmp_path / "trackio").rglob("*") if file.is_file())
    assert not [name for name in NAMES if name.encode() not in content]


def test_mlflow_has_every_number_and_continues_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="an optional package: pip install mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    rows = every_row()
    write("mlflow", tmp_path, {step: row for step, row in rows.items() if step < 2})
    write("mlflow", tmp_path, rows)
    (run,) = mlflow.search_runs(experiment_names=["pope-rl"], output_format="list")
    assert set(run.data.metrics) >= NAMES
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss/mean")
    assert [(metric.step, metric.value) for metric in history] == [(1, 0.125), (2, 0.25), (3, 0.375)]
