"""Weights that an engine is reading stay readable when the learner removes its file."""

from pathlib import Path

import pytest

from actors.weight_file import hard_linked
from broker.records import WeightAnnouncement


@pytest.fixture
def announced(tmp_path: Path) -> WeightAnnouncement:
    path = tmp_path / "weights-000009.safetensors"
    path.write_bytes(b"nine")
    return WeightAnnouncement(version=9, backend="file", path=str(path), checksums={})


def test_a_linked_file_outlives_the_learners_name(announced: WeightAnnouncement, tmp_path: Path) -> None:
    with hard_linked(announced, "actor-0") as one, hard_linked(announced, "actor-1") as two:
        Path(announced.path).unlink()
        assert one is not None
        assert two is not None
        assert one.version == 9
        assert one.path != two.path
        assert Path(one.path).read_bytes() == Path(two.path).read_bytes() == b"nine"
    assert list(tmp_path.iterdir()) == []


def test_it_is_no_copy_and_no_file_of_the_learner(announced: WeightAnnouncement, tmp_path: Path) -> None:
    with hard_linked(announced, "actor-0") as mine:
        assert mine is not None
        assert Path(mine.path).samefile(announced.path)
        assert list(tmp_path.glob("weights-*")) == [Path(announced.path)], "the learner removes those alone"


def test_a_file_that_is_gone_gives_none(announced: WeightAnnouncement) -> None:
    Path(announced.path).unlink()
    with hard_linked(announced, "actor-0") as mine:
        assert mine is None


def test_a_link_of_an_earlier_incarnation_is_replaced(announced: WeightAnnouncement, tmp_path: Path) -> None:
    (tmp_path / "held-by-actor-0.safetensors").write_bytes(b"eight")
    with hard_linked(announced, "actor-0") as mine:
        assert mine is not None
        assert Path(mine.path).read_bytes() == b"nine"


def test_a_broadcast_has_no_file_to_link() -> None:
    announcement = WeightAnnouncement(version=9, backend="nccl", path="", checksums={})
    with hard_linked(announcement, "actor-0") as mine:
        assert mine == announcement
