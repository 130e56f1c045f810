"""A local Ray that times out at its start is started again; other errors are raised."""

import tempfile
from pathlib import Path

import pytest
import ray

from broker.errors import PopeError, UsageError
from deploy.cluster import ray_session


class Starts:
    """A fake ray.init: fails with these errors, one for each call, then succeeds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *errors: str) -> None:
        self.events: list[str] = []
        self._errors = list(errors)
        monkeypatch.setattr(ray, "init", self._init)
        monkeypatch.setattr(ray, "shutdown", lambda: self.events.append("shutdown"))

    def _init(self, **options: object) -> None:
        self.events.append("init")
        if self._errors:
            raise Exception(self._errors.pop(0))


SLOW = "The current node timed out during startup. This could happen because ..."


def test_only_this_user_may_enter_the_folder_of_rays_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = ray_session.private_folder()
    assert (folder.parent, folder.stat().st_mode & 0o777) == (tmp_path, 0o700)
    folder.chmod(0o777)
    assert ray_session.private_folder().stat().st_mode & 0o777 == 0o700
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(UsageError, match="belongs to somebody else; set RAY_TMPDIR"):
        ray_session.private_folder()
    monkeypatch.setenv("RAY_TMPDIR", "/elsewhere")
    assert ray_session.private_folder() == Path("/elsewhere")


def test_a_slow_start_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = Starts(monkeypatch, SLOW)
    ray_session._start_local_ray()
    assert starts.events == ["init", "shutdown", "init"]


def test_a_start_that_is_slow_every_time_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = Starts(monkeypatch, *[SLOW] * ray_session.RAY_STARTS)
    with pytest.raises(PopeError, match="the machine is busy"):
        ray_session._start_local_ray()
    assert starts.events == ["init", "shutdown"] * ray_session.RAY_STARTS


def test_another_error_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = Starts(monkeypatch, "no space left")
    with pytest.raises(Exception, match="no space left"):
        ray_session._start_local_ray()
    assert starts.events == ["init", "shutdown"]
