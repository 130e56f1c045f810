"""What the driver does after each refresh of the state of training."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import redis

from deploy.jobs.training_monitor import TrainingMonitor
from deploy.store.run_folder import RunFolder
from deploy.store.run_state import RunState
from deploy.view.screen import Screen
from tests.deploy.dashboard.live import replayed, settings


class FailedLogger:
    """Loggers of which one has just ended."""

    def warnings(self) -> Iterator[str]:
        yield "deploy.loggers: wandb was given up (no network)"


def test_a_logger_that_was_given_up_becomes_a_note_of_the_run_and_the_run_goes_on(
    tmp_path: Path, client: redis.Redis, redis_url: str, run_name: str
) -> None:
    replayed(client, run_name)
    folder = RunFolder(tmp_path)
    folder.metrics.mkdir()
    state = RunState(settings(run_name), client, [], folder)
    console = Screen(record=True, width=200)
    session: Any = SimpleNamespace(
        config=state.config, client=client, console=console, folder=folder, url_of=lambda role: redis_url
    )
    loggers: Any = FailedLogger()
    with TrainingMonitor(session, [], loggers) as monitor:
        monitor(state)
    assert "deploy.loggers: wandb was given up (no network)" in state.notes
    assert "note: deploy.loggers: wandb was given up (no network)" in console.export_text()
