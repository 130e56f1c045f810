"""Saving, finding and refusing checkpoints."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from learner.checkpoints import MAX_FAILURES, Checkpoints
from learner.manifest import LATEST, MANIFEST, Checkpoint, CheckpointError, digest_of, find_newest_valid, verify
from learner.ranks import Ranks

SETTINGS = {"learner.zero_stage": 0, "model.dtype": "float32", "learner.learning_rate": 0.1}


def checkpoints(folder: Path, *, keep: int = 2, **settings: Any) -> Checkpoints:
    return Checkpoints(folder, Ranks(0, 1, torch.device("cpu")), keep=keep, settings={**SETTINGS, **settings})


def write(folder: Path) -> None:
    (folder / "state").mkdir()
    (folder / "state" / "optimizer.pt").write_bytes(bytes(range(256)) * 40)
    (folder / "model.safetensors").write_bytes(b"weights" * 100)


def broken(folder: Path) -> None:
    write(folder)
    raise OSError(28, "No space left on device")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Steps 5 and 10."""
    store = checkpoints(tmp_path)
    assert store.save(5, write)
    assert store.save(10, write)
    return tmp_path


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


DAMAGES: dict[str, Callable[[Path], None]] = {"flip": flip, "truncate": truncate, "delete": Path.unlink}


def test_the_newest_checkpoint_is_found_and_says_what_it_is(saved: Path) -> None:
    found = checkpoints(saved).newest()
    assert found is not None
    assert found.step == 10
    assert set(found.manifest["files"]) == {"model.safetensors", "state/optimizer.pt"}
    assert found.manifest["versions"]["torch"].startswith("2.")
    assert (saved / LATEST).read_text() == "step-000010\n"


def test_an_empty_folder_holds_no_checkpoint(tmp_path: Path) -> None:
    assert checkpoints(tmp_path / "absent").newest() is None


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", ["model.safetensors", "state/optimizer.pt"])
def test_a_damaged_file_is_named_and_the_previous_checkpoint_is_used(
    saved: Path, damage: str, file: str, caplog: pytest.LogCaptureFixture
) -> None:
    DAMAGES[damage](saved / "step-000010" / file)
    with caplog.at_level(logging.WARNING):
        found = checkpoints(saved).newest()
    assert found is not None
    assert found.step == 5
    assert f"step-000010: {file}" in caplog.text


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_manifest_is_a_damaged_checkpoint(saved: Path, damage: str) -> None:
    DAMAGES[damage](saved / "step-000010" / MANIFEST)
    found = checkpoints(saved).newest()
    assert found is not None
    assert found.step == 5


def test_changed_settings_in_a_manifest_are_detected(saved: Path) -> None:
    path = saved / "step-000010" / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["settings"]["learner.learning_rate"] = 9
    path.write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=r"MANIFEST.json is damaged \(it was changed"):
        verify(saved / "step-000010")


def test_other_versions_of_the_libraries_are_told(saved: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = saved / "step-000010" / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["versions"]["deepspeed"] = "0.1"
    manifest["sha256"] = digest_of({name: value for name, value in manifest.items() if name != "sha256"})
    checkpoints(saved)._require_compatible(Checkpoint(path.parent, manifest))
    assert "step-000010 was written with deepspeed 0.1, this run has" in caplog.text
    assert caplog.text.count("was written with") == 1


def test_when_all_checkpoints_are_damaged_none_is_found(saved: Path) -> None:
    for step in (5, 10):
        flip(saved / f"step-{step:06d}" / "model.safetensors")
    assert checkpoints(saved).newest() is None


def test_an_invalid_pointer_is_ignored(saved: Path) -> None:
    (saved / LATEST).write_text("rubbish")
    found = find_newest_valid(saved)
    assert found is not None
    assert found.step == 10


def test_an_interrupted_save_is_no_checkpoint_and_is_removed(saved: Path) -> None:
    interrupted = saved / "step-000015.tmp"
    interrupted.mkdir()
    write(interrupted)
    found = checkpoints(saved).newest()
    assert found is not None
    assert found.step == 10
    assert checkpoints(saved).save(20, write)
    assert not interrupted.exists()


def test_only_the_newest_checkpoints_are_kept(saved: Path) -> None:
    store = checkpoints(saved)
    store.save(15, write)
    assert store.kept_steps() == [10, 15]
    assert sorted(path.name for path in saved.iterdir()) == [LATEST, "step-000010", "step-000015"]


def test_a_damaged_later_checkpoint_is_removed_after_training_resumed_before_it(saved: Path) -> None:
    flip(saved / "step-000010" / "model.safetensors")
    store = checkpoints(saved, keep=1)
    assert store.newest() is not None
    assert store.save(7, write)
    assert store.kept_steps() == [7]


def test_a_failed_save_is_counted_and_leaves_the_last_one(saved: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = checkpoints(saved)
    assert not store.save(15, broken)
    assert store.failures == 1
    assert "No space left on device" in caplog.text
    assert store.kept_steps() == [5, 10]
    assert not list(saved.glob("*.tmp"))
    assert store.save(20, write)


def test_saves_that_keep_failing_end_training(saved: Path) -> None:
    store = checkpoints(saved)
    for _ in range(MAX_FAILURES - 1):
        assert not store.save(15, broken)
    with pytest.raises(CheckpointError, match="3 failures in a row"):
        store.save(15, broken)


def test_a_full_disk_is_detected_before_writing(saved: Path, monkeypatch: Any) -> None:
    written = []
    monkeypatch.setattr("learner.checkpoints.shutil.disk_usage", lambda _: type("Usage", (), {"free": 10})())
    assert not checkpoints(saved).save(15, written.append)
    assert not written


def test_a_checkpoint_of_other_ranks_or_another_stage_is_refused(saved: Path) -> None:
    with pytest.raises(CheckpointError, match=r"learner.zero_stage=0, this run has 3"):
        checkpoints(saved, **{"learner.zero_stage": 3}).newest()
    path = saved / "step-000010" / MANIFEST
    manifest = {**json.loads(path.read_text()), "world_size": 4}
    del manifest["sha256"]
    path.write_text(json.dumps({**manifest, "sha256": digest_of(manifest)}))
    with pytest.raises(CheckpointError, match=r"learner.num_ranks=4, this run has 1"):
        checkpoints(saved).newest()


def test_a_changed_learning_rate_is_only_a_warning(saved: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert checkpoints(saved, **{"learner.learning_rate": 0.2}).newest() is not None
    assert "learner.learning_rate" in caplog.text


def test_the_random_state_is_restored(tmp_path: Path) -> None:
    store = checkpoints(tmp_path)
    torch.manual_seed(3)
    store.save(1, write)
    expected = torch.rand(4)
    found = store.newest()
    assert found is not None
    store.restore_rng(found)
    assert torch.equal(torch.rand(4), expected)
