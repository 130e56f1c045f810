"""Weights published as files on tmpfs."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
import torch
from safetensors.torch import load_file

from broker.keys import Keys
from broker.weights import WeightBoard
from learner.checksums import checksums
from learner.file_publisher import FilePublisher
from learner.weight_publisher import PublishError


@pytest.fixture
def board(client: redis.Redis, keys: Keys) -> WeightBoard:
    return WeightBoard(client, keys)


def weights(version: int) -> dict[str, torch.Tensor]:
    return {"a.weight": torch.full((2, 3), float(version)), "norm.weight": torch.arange(4.0)}


def test_a_version_is_a_whole_file_that_the_board_names(tmp_path: Path, board: WeightBoard) -> None:
    FilePublisher(tmp_path / "w", board).publish(7, weights(7).items())
    newest = board.newest()
    assert newest is not None
    assert (newest.version, newest.backend, board.version()) == (7, "file", 7)
    assert newest.path is not None
    held = load_file(newest.path)
    assert held.keys() == weights(7).keys()
    assert torch.equal(held["a.weight"], weights(7)["a.weight"])
    assert newest.checksums == checksums(weights(7))
    assert not list((tmp_path / "w").glob("*.tmp"))


def test_the_two_newest_files_are_kept(tmp_path: Path, board: WeightBoard) -> None:
    publisher = FilePublisher(tmp_path, board)
    for version in (1, 2, 3, 10):
        publisher.publish(version, weights(version).items())
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "weights-000003.safetensors",
        "weights-000010.safetensors",
    ]


def test_a_version_the_engines_have_is_not_written_again(tmp_path: Path, board: WeightBoard) -> None:
    """A resumed learner may round differently; an engine that starts now must read what was announced."""
    FilePublisher(tmp_path, board).publish(5, weights(5).items())
    announced = board.newest()
    again = FilePublisher(tmp_path, board).publish(5, weights(6).items())
    assert again == announced == board.newest()
    assert again.path is not None
    assert torch.equal(load_file(again.path)["a.weight"], weights(5)["a.weight"])


def test_versions_never_go_back_on_the_board(tmp_path: Path, board: WeightBoard) -> None:
    publisher = FilePublisher(tmp_path, board)
    publisher.publish(5, weights(5).items())
    publisher.publish(4, weights(4).items())
    assert board.version() == 5


def test_a_full_tmpfs_is_an_error_that_names_the_setting(tmp_path: Path, board: WeightBoard, monkeypatch: Any) -> None:
    monkeypatch.setattr("learner.file_publisher.shutil.disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(PublishError, match=r"weights\.folder"):
        FilePublisher(tmp_path, board).publish(1, weights(1).items())
    assert board.newest() is None


def test_the_folder_is_private(tmp_path: Path, board: WeightBoard) -> None:
    FilePublisher(tmp_path / "w", board)
    assert (tmp_path / "w").stat().st_mode & 0o777 == 0o700
