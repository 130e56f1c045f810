"""The folder of a run: names, the lock, and the problems it keeps."""

from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from broker.errors import PopeError, UsageError
from broker.records import Problem
from conf.load import load
from conf.schema import RunConfig
from deploy.run.session import _undone
from deploy.store.run_folder import RunFolder, is_in_use, open_run_folder
from deploy.view.screen import Screen


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


def test_only_the_owner_may_enter_the_folder(tmp_path: Path) -> None:
    folder, lock, _ = open_run_folder(config(tmp_path))
    assert folder.path.stat().st_mode & 0o777 == 0o700
    lock.release()


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


def finished(root: Path) -> RunFolder:
    folder, lock, _ = open_run_folder(config(root))
    folder.settings.write_text("of the finished run")
    lock.release()
    return folder


def fail(root: Path, *, started: bool, log: str = "") -> str:
    """A start of the same name that fails. Returns what is printed."""
    console = Screen(record=True, width=400)
    folder, lock, moved = open_run_folder(config(root))
    folder.settings.write_text("of the failed start")
    if log:
        (folder.logs / "actor-0.log").write_text(log)
    roles_are_up = Event()
    if started:
        roles_are_up.set()
    with pytest.raises(PopeError), _undone(folder, moved, roles_are_up, console):
        raise PopeError("no model")
    lock.release()
    return console.export_text()


def test_a_start_that_fails_displaces_no_run_and_leaves_no_folder(tmp_path: Path) -> None:
    run = finished(tmp_path)
    assert "is the earlier run again" in fail(tmp_path, started=False)
    assert run.settings.read_text() == "of the finished run"
    assert [path.name for path in tmp_path.iterdir()] == ["pope"]


def test_a_first_start_that_fails_keeps_only_the_logs_of_its_roles(tmp_path: Path) -> None:
    for log in ("first", "second"):
        assert "the logs are in" in fail(tmp_path, started=False, log=log)
    assert [path.name for path in tmp_path.iterdir()] == [".failed"]
    assert (tmp_path / ".failed" / "pope" / "actor-0.log").read_text() == "second"


def test_a_run_that_fails_after_its_start_keeps_its_folder(tmp_path: Path) -> None:
    finished(tmp_path)
    assert fail(tmp_path, started=True) == ""
    assert (tmp_path / "pope" / "settings.yaml").read_text() == "of the failed start"
    assert (tmp_path / "pope.1" / "settings.yaml").read_text() == "of the finished run"


def test_a_run_is_not_moved_from_under_its_own_problems(tmp_path: Path) -> None:
    run = finished(tmp_path)
    run.problems.write_text("")
    base = config(tmp_path)
    own = replace(base, problems=replace(base.problems, source=str(run.problems)))
    with pytest.raises(UsageError, match=r"the folder of the run itself .*choose another run.name"):
        open_run_folder(own)
    assert run.settings.exists()


def test_a_folder_in_use_is_seen(tmp_path: Path) -> None:
    folder, lock, _ = open_run_folder(config(tmp_path))
    assert is_in_use(folder.path)
    lock.release()
    assert not is_in_use(folder.path)
    assert not is_in_use(tmp_path / "nowhere")


@pytest.mark.parametrize("root", ["runs", "{upload}/runs"])
def test_a_ray_job_refuses_a_root_in_its_temporary_copy(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = tmp_path / "working_dir_files" / "_ray_pkg_0a1b"
    upload.mkdir(parents=True)
    monkeypatch.chdir(upload)
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    base = config(tmp_path)
    inside = replace(base, run=replace(base.run, root=root.format(upload=upload)))
    with pytest.raises(UsageError, match=r"name an absolute folder that every node reaches, such as run\.root=/shared"):
        open_run_folder(inside)
    assert not any(upload.iterdir())
    open_run_folder(config(tmp_path / "shared"))[1].release()
