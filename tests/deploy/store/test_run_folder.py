"""The folder of a run: names, the lock, and the problems it keeps."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from broker.errors import UsageError
from broker.records import Problem
from conf.load import load
from conf.schema import RunConfig
from deploy.store.run_folder import open_run_folder


def config(root: Path, **run: Any) -> RunConfig:
    base = load(None, [])
    return replace(base, run=replace(base.run, root=str(root), **run))


def test_an_earlier_run_of_the_same_name_is_kept_under_a_number(tmp_path: Path) -> None:
    for number in (None, 1, 2):
        folder, lock, moved = open_run_folder(config(tmp_path))
        folder.settings.write_text("mark")
        lock.release()
        assert moved == (None if number is None else tmp_path.resolve() / f"pope.{number}")
    assert (tmp_path / "pope.1" / "settings.yaml").read_text() == "mark"


def test_a_folder_is_locked_until_released(tmp_path: Path) -> None:
    _, lock, _ = open_run_folder(config(tmp_path))
    with pytest.raises(UsageError, match="is in use by pid"):
        open_run_folder(config(tmp_path))
    lock.release()
    open_run_folder(config(tmp_path))[1].release()


def test_a_resume_opens_the_existing_folder(tmp_path: Path) -> None:
    folder, lock, _ = open_run_folder(config(tmp_path))
    folder.settings.write_text("mark")
    lock.release()
    again, lock, moved = open_run_folder(config(tmp_path, resume=True))
    assert moved is None
    assert again.settings.read_text() == "mark"
    lock.release()


def test_saved_problems_are_loaded_unchanged(tmp_path: Path) -> None:
    folder, lock, _ = open_run_folder(config(tmp_path))
    problems = [
        Problem(id="a", statement="é\n?", answer="2", bucket="hard", source="x", solution="s", guidance="g"),
        Problem(id="b", statement="?", answer="3", bucket="easy", source="x"),
    ]
    folder.save_problems(problems)
    assert folder.load_problems() == problems
    lock.release()
