"""The manifest of a checkpoint: size and SHA-256 of every file.

Neither torch nor safetensors detects a flipped byte, and DeepSpeed unpickles what it loads. Nothing is loaded from a
checkpoint before all its files have been compared with the manifest.
"""

import hashlib
import json
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from broker.errors import PopeError

log = logging.getLogger(__name__)

MANIFEST = "MANIFEST.json"
LATEST = "LATEST"
WEIGHTS = "model.safetensors"
"""The weights in a checkpoint, under their usual name in a Hugging Face folder."""
FORMAT = 1
_NAME = re.compile(r"step-(\d{6,})")
_BLOCK = 2**22


class CheckpointError(PopeError):
    """Checkpoints repeatedly failed to save, or training cannot resume from one."""

    final = True


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def step(self) -> int:
        return int(self.manifest["step"])


def find_newest_valid(folder: Path) -> Checkpoint | None:
    """The newest intact checkpoint under `folder`, LATEST first. Logs the damaged file of each checkpoint it skips."""
    folders = dict(candidates(folder))
    pointed = _step_of((folder / LATEST).read_text().strip()) if (folder / LATEST).exists() else None
    for step in sorted(folders, key=lambda step: (step == pointed, step), reverse=True):
        try:
            return Checkpoint(folders[step], verify(folders[step]))
        except CheckpointError as error:
            log.warning("%s; falling back to an older checkpoint", error)
    return None


def verify(folder: Path) -> dict[str, Any]:
    """The manifest of an intact checkpoint. Raises CheckpointError, which names the missing or changed file."""
    manifest = read_manifest(folder)
    for name, entry in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f"checkpoint {folder.name}: {name} is missing")
        size = path.stat().st_size
        if size != entry["bytes"]:
            raise CheckpointError(f"checkpoint {folder.name}: {name} has {size} bytes instead of {entry['bytes']}")
        if _sha256(path) != entry["sha256"]:
            raise CheckpointError(f"checkpoint {folder.name}: {name} was changed since it was written")
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest, compared with its own digest. The files it lists are not read. Raises CheckpointError."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        files = dict(manifest["files"])
        if manifest["format"] != FORMAT or _step_of(folder.name) != manifest["step"] or not files:
            raise ValueError("it does not describe this folder")
        if digest_of({name: value for name, value in manifest.items() if name != "sha256"}) != manifest["sha256"]:
            raise ValueError("it was changed since it was written")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"checkpoint {folder.name}: {MANIFEST} is damaged ({error})") from error
    return cast(dict[str, Any], manifest)


def digest_of(values: dict[str, Any]) -> str:
    """SHA-256 of named values, independent of their order."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def folder_of(checkpoints: Path, step: int) -> Path:
    """The folder of a step's checkpoint."""
    return checkpoints / f"step-{step:06d}"


def candidates(folder: Path) -> list[tuple[int, Path]]:
    """(step, folder) of each folder that has the name of a finished checkpoint."""
    if not folder.is_dir():
        return []
    steps = [(_step_of(path.name), path) for path in folder.iterdir() if path.is_dir()]
    return [(step, path) for step, path in steps if step is not None]


def _step_of(name: str) -> int | None:
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def sync_and_hash(path: Path) -> str:
    """Calls fsync on a file. Returns its SHA-256."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return _sha256(path)


def sync_folder(folder: Path) -> None:
    """Calls fsync on a folder, so that renames in it are durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
