"""The archive of a sampling stage holds whole groups only, at whatever moment its writer died."""

from pathlib import Path

import pytest

from broker.errors import PopeError
from broker.records import encode
from deploy.store.rollout_archive import RolloutArchive, read_rollouts
from tests.groups import rollout_group

GROUPS = [rollout_group(group_id, (1.0, 0.0, None)) for group_id in range(4)]
PAIRS = [(group, encode(group)) for group in GROUPS]


def test_added_groups_are_read_back(tmp_path: Path) -> None:
    archive = RolloutArchive(tmp_path / "stage" / "mining")
    fresh = archive.add(PAIRS[:2], "hard")
    assert [entry.group_id for entry in fresh] == [0, 1]
    assert (fresh[0].result.samples, fresh[0].result.judged, fresh[0].result.successes) == (3, 2, 1)
    archive.add(PAIRS[2:], "hard")
    archive.close()
    again = RolloutArchive(tmp_path / "stage" / "mining")
    assert sorted(again.entries) == [0, 1, 2, 3]
    assert list(read_rollouts(tmp_path / "stage" / "mining")) == GROUPS


def test_a_group_that_is_added_twice_is_kept_once(tmp_path: Path) -> None:
    archive = RolloutArchive(tmp_path / "mining")
    archive.add(PAIRS[:2], "hard")
    assert archive.add(PAIRS[:3], "hard") == [archive.entries[2]]
    archive.close()
    assert list(read_rollouts(tmp_path / "mining")) == GROUPS[:3]


def test_a_torn_end_is_cut_off_and_its_groups_are_written_again(tmp_path: Path) -> None:
    archive = RolloutArchive(tmp_path / "whole")
    archive.add(PAIRS, "hard")
    archive.close()
    frames, lines = (tmp_path / "whole.rollouts").read_bytes(), (tmp_path / "whole.results").read_bytes()
    for cut in range(0, len(lines) + 1, 7):
        (tmp_path / "torn.rollouts").write_bytes(frames)
        (tmp_path / "torn.results").write_bytes(lines[:cut])
        archive = RolloutArchive(tmp_path / "torn")
        assert sorted(archive.entries) == list(range(lines[:cut].count(b"\n")))
        archive.add(PAIRS, "hard")
        archive.close()
        assert list(read_rollouts(tmp_path / "torn")) == GROUPS
    # A frame without its line, and half a frame: both are written again.
    for size in (len(frames) - 1, len(PAIRS[0][1]) + 5):
        (tmp_path / "torn.rollouts").write_bytes(frames[:size])
        (tmp_path / "torn.results").write_bytes(lines[: lines.index(b"\n") + 1])
        archive = RolloutArchive(tmp_path / "torn")
        archive.add(PAIRS, "hard")
        archive.close()
        assert list(read_rollouts(tmp_path / "torn")) == GROUPS


def test_missing_rollouts_are_an_error_and_not_sampled_again_silently(tmp_path: Path) -> None:
    archive = RolloutArchive(tmp_path / "mining")
    archive.add(PAIRS, "hard")
    archive.close()
    (tmp_path / "mining.rollouts").write_bytes(b"")
    with pytest.raises(PopeError, match="the archive is damaged"):
        RolloutArchive(tmp_path / "mining")
