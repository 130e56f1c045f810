import os
from pathlib import Path

import pytest

from broker.history import FOLDER, History, read_history


def told(folder: Path) -> list[tuple[str, object]]:
    (history,) = read_history(folder)
    return [(line.event.what, line.event.group_id) for line in history.lines]


def test_events_are_read_with_their_places(tmp_path: Path) -> None:
    history = History(tmp_path, "learner-0", "learner-0@1.0")
    history.add("start", server="born", step=3)
    history.add("batch", step=4, group_ids=(7, 9))
    history.add("put", group_id=7, versions=(2, 3))
    history.close()
    (found,) = read_history(tmp_path)
    assert (found.role, found.damaged) == ("learner-0", ())
    assert [line.place for line in found.lines] == [f"learner-0.jsonl:{n}" for n in (1, 2, 3)]
    start, batch, put = (line.event for line in found.lines)
    assert (start.server, start.step, start.incarnation) == ("born", 3, "learner-0@1.0")
    assert (batch.step, batch.group_ids) == (4, (7, 9))
    assert (put.group_id, put.versions) == (7, (2, 3))
    assert put.at > 1.7e9


def test_a_line_is_short_and_written_at_once(tmp_path: Path) -> None:
    history = History(tmp_path, "preprocess-0", "preprocess-0@1763920000000000000.0")
    history.add("put", group_id=123_456, versions=(100, 101))
    assert (tmp_path / FOLDER / "preprocess-0.jsonl").stat().st_size < 200


def test_a_torn_last_line_is_ignored_and_the_next_incarnation_starts_a_new_one(tmp_path: Path) -> None:
    History(tmp_path, "actor-0").add("publish", group_id=1)
    path = tmp_path / FOLDER / "actor-0.jsonl"
    whole = path.read_bytes()
    for cut in range(1, len(whole)):
        path.write_bytes(whole + whole[:cut])
        assert told(tmp_path) == [("publish", 1)]
        later = History(tmp_path, "actor-0")
        later.add("start", server="")
        later.add("publish", group_id=2)
        later.close()
        (history,) = read_history(tmp_path)
        assert [line.event.what for line in history.lines][-2:] == ["start", "publish"]
        assert history.damaged == ()


def test_a_damaged_line_in_the_middle_is_reported(tmp_path: Path) -> None:
    history = History(tmp_path, "actor-0")
    for group_id in range(3):
        history.add("publish", group_id=group_id)
    path = tmp_path / FOLDER / "actor-0.jsonl"
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], b"\xff" + lines[1][1:], *lines[2:]]))
    (found,) = read_history(tmp_path)
    assert found.damaged == ("actor-0.jsonl:2",)
    assert len(found.lines) == 2


def test_two_incarnations_have_two_names(tmp_path: Path) -> None:
    for _ in range(2):
        History(tmp_path, "actor-0").add("start", server="")
    (history,) = read_history(tmp_path)
    assert len({line.event.incarnation for line in history.lines}) == 2


def test_lines_skipped_on_a_full_disk_are_counted_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(tmp_path, "actor-0")
    history.add("publish", group_id=0)
    honest = os.write

    def full(file: int, data: bytes) -> int:
        """Writes half a line, then raises."""
        if len(data) > 20:
            return honest(file, data[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    history.add("publish", group_id=1)
    history.add("publish", group_id=2)
    monkeypatch.setattr(os, "write", honest)
    history.add("publish", group_id=3)
    (found,) = read_history(tmp_path)
    assert [(e.what, e.group_id, e.missed) for e in (line.event for line in found.lines)] == [
        ("publish", 0, 0),
        ("gap", None, 2),
        ("publish", 3, 0),
    ]
    assert found.damaged == ()


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    history = History(None, "actor-0")
    history.add("start", server="")
    history.close()
    assert not list(tmp_path.iterdir())


def test_effects_are_read_before_their_causes(tmp_path: Path) -> None:
    for role in ("actor-0", "learner-0", "preprocess-1", "actor-10"):
        History(tmp_path, role).add("start", server="")
    assert [h.role for h in read_history(tmp_path)] == ["preprocess-1", "actor-0", "actor-10", "learner-0"]
