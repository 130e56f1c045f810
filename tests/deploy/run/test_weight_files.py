"""Weights of a model are safetensors, whole or in shards; everything else is refused with its remedy."""

import json
from pathlib import Path

import pytest

from broker.errors import UsageError
from conf.schema import ModelSettings
from deploy.run.model_source import resolve_model
from deploy.run.weight_files import INDEX


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def resolved(path: Path) -> Path:
    return resolve_model(ModelSettings(path=str(path)))


def shards(folder: Path, *present: int) -> None:
    """The index of three shards, some of which are there."""
    names = [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
    (folder / INDEX).write_text(json.dumps({"weight_map": {f"layer.{i}": name for i, name in enumerate(names)}}))
    for number in present:
        (folder / names[number - 1]).write_bytes(b"")


def test_one_file_and_whole_shards_are_taken(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"")
    assert resolved(folder) == folder.resolve()
    (folder / "model.safetensors").unlink()
    shards(folder, 1, 2, 3)
    assert resolved(folder) == folder.resolve()


def test_a_missing_shard_is_named_before_anything_starts(folder: Path) -> None:
    shards(folder, 2)
    with pytest.raises(UsageError, match=r"model-00001-of-00003\.safetensors is missing, which .*, and 1 more; fetch"):
        resolved(folder)
    (folder / INDEX).write_text("{")
    with pytest.raises(UsageError, match=r"index\.json is damaged: .*; fetch the model again"):
        resolved(folder)


def test_a_gguf_file_and_a_folder_of_them_are_refused_with_the_remedy(folder: Path) -> None:
    file = folder / "model-Q4_K_M.gguf"
    file.write_bytes(b"GGUF")
    for path in (file, folder):
        with pytest.raises(UsageError, match=r"GGUF weights are rounded for inference .* take the model they"):
            resolved(path)


def test_other_files_and_folders_without_weights_are_refused_with_another(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(UsageError, match=r"no \.safetensors file in .*; load it where it is trusted and save it"):
        resolved(folder)
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(UsageError, match=r"model\.safetensors is a file; name the folder that holds it"):
        resolved(folder / "model.safetensors")


def test_a_name_that_is_neither_a_folder_nor_on_the_hub_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no local folder and cannot be loaded from the hub"):
        resolved(tmp_path / "absent")
