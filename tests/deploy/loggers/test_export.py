"""`pope export` writes what a logger does not have."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.loggers.export import export
from deploy.store.run_folder import FolderLock
from deploy.store.run_view import RunView
from tests.deploy.dashboard.live import finished_folder
from tests.deploy.loggers import fakes


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    fakes.install(tmp_path / "fakes", "wandb")
    monkeypatch.syspath_prepend(tmp_path / "fakes")
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    yield tmp_path / "log"
    for module in ("wandb", "deploy.loggers.to_wandb"):
        sys.modules.pop(module, None)


def test_a_running_run_is_exported_up_to_its_newest_complete_step_and_the_rest_after_its_end(
    tmp_path: Path, log: Path
) -> None:
    run = finished_folder(tmp_path)
    running = FolderLock(run)
    running.acquire()
    with RunView(run) as view:
        assert export(view, "wandb", run / "wandb") == 12
        assert set(fakes.logged(log)) == set(range(12))
        running.release()
        assert export(view, "wandb", run / "wandb") == 1
        assert export(view, "wandb", run / "wandb") == 0
    assert set(fakes.logged(log)) == set(range(13))
    assert len({call[1]["id"] for call in fakes.calls(log) if call[0] == "init"}) == 1
