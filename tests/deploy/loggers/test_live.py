"""The loggers of a run while it lasts. Real processes follow the files of a run; libraries are fakes."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import redis

from broker.keys import Keys
from broker.metrics import Metrics
from conf.load import dump, load
from conf.schema import LoggerName, RunConfig
from deploy.loggers.live import LiveLoggers
from deploy.store.metric_files import ROOMS, MetricFile, path_of
from deploy.store.run_folder import RunFolder
from deploy.store.run_view import Reports
from tests.deploy.loggers import fakes
from tests.deploy.loggers.full_reports import full_reports, names_of
from tests.waiting import wait_until


class DriverFiles:
    """The files of a run, as its driver writes them."""

    def __init__(self, root: Path, client: redis.Redis, name: str, *loggers: LoggerName) -> None:
        config = load(None, [f"run.root={root}", f"run.name={name}"])
        self.config: RunConfig = replace(config, deploy=replace(config.deploy, loggers=list(loggers)))
        self.folder = RunFolder.of(self.config)
        for folder in (self.folder.metrics, self.folder.logs):
            folder.mkdir(parents=True)
        self.folder.settings.write_text(dump(self.config))
        self._metrics = Metrics(client, Keys(name))
        self._files = [MetricFile(path_of(self.folder.metrics, room), self._metrics) for room in ROOMS]

    def write(self, reports: Reports) -> None:
        r = reports
        for report in (*r.groups, *r.outputs, *r.preprocess, *r.times, *r.syncs, *r.learner):
            self._metrics.report(report)
        for file in self._files:
            file.follow()


@pytest.fixture
def fake_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the import path of the processes."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "fakes"), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    (tmp_path / "fakes").mkdir()
    return tmp_path / "fakes"


def test_every_name_arrives_during_the_run_and_a_resumed_run_goes_on_where_it_was(
    tmp_path: Path, client: redis.Redis, run_name: str, fake_folder: Path
) -> None:
    fakes.install(fake_folder, "wandb")
    run = DriverFiles(tmp_path, client, run_name, "wandb")
    loggers = LiveLoggers(run.config, run.folder)
    run.write(full_reports())
    loggers.start()
    wait_until(lambda: 2 in fakes.logged(tmp_path / "log"), "complete steps are written during the run", 60)
    assert 3 not in fakes.logged(tmp_path / "log")
    assert [*loggers.warnings(), *loggers.close()] == []
    assert set(fakes.logged(tmp_path / "log")) == {0, 1, 2, 3}
    names = {name for row in fakes.logged(tmp_path / "log").values() for name in row}
    assert names_of(full_reports()) <= names

    again = LiveLoggers(run.config, run.folder)
    again.start()
    run.write(Reports(learner=[step for step in full_reports(5).learner if step.step > 3]))
    assert list(again.close()) == []
    assert set(fakes.logged(tmp_path / "log")) == set(range(6))
    begun = [call[1]["id"] for call in fakes.calls(tmp_path / "log") if call[0] == "init"]
    assert begun[0] == begun[1]


def test_a_logger_that_fails_and_one_that_blocks_are_given_up_with_the_reason(
    tmp_path: Path, client: redis.Redis, run_name: str, fake_folder: Path
) -> None:
    fakes.install(fake_folder, "wandb", "failing")
    fakes.install(fake_folder, "trackio", "blocking")
    run = DriverFiles(tmp_path, client, run_name, "wandb", "trackio")
    before = set(psutil.Process().children())
    loggers = LiveLoggers(run.config, run.folder, close_s=1.0)
    loggers.start()
    said: list[str] = []

    def warned() -> bool:
        said.extend(loggers.warnings())
        return bool(said)

    wait_until(warned, "the failure is noticed while the run goes on", 60)
    (failed,) = said
    assert "wandb was given up (the logger wandb failed: ConnectionError: no network)" in failed
    assert f"pope export {run.folder.path} --to wandb" in failed
    (blocked,) = loggers.close()
    assert "trackio was given up (not finished 1 s after the end of the run)" in blocked
    assert set(psutil.Process().children()) == before


def test_a_process_ends_when_its_driver_was_killed(
    tmp_path: Path, client: redis.Redis, run_name: str, fake_folder: Path
) -> None:
    fakes.install(fake_folder, "wandb")
    run = DriverFiles(tmp_path, client, run_name, "wandb")
    run.write(full_reports())
    driver = os.fork()
    if not driver:
        LiveLoggers(run.config, run.folder).start()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(driver, 0)
    wait_until(lambda: ["finish"] in fakes.calls(tmp_path / "log"), "the rest is written", 60)
    assert set(fakes.logged(tmp_path / "log")) == {0, 1, 2, 3}


def test_a_run_without_loggers_starts_none(tmp_path: Path) -> None:
    loggers = LiveLoggers(load(None, []), RunFolder(tmp_path))
    loggers.start()
    assert [*loggers.warnings(), *loggers.close()] == []
    assert list(tmp_path.iterdir()) == []
