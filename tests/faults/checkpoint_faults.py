"""Faults of checkpoints: a save interrupted at every point, and damaged files."""

import logging
import os
import random
import shutil
import signal
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from learner.checkpoints import Checkpoints
from learner.manifest import LATEST, MANIFEST, find_newest_valid
from learner.ranks import Ranks
from tests.faults.outcome import Outcome
from tests.forking import FORKING, begin

RANKS = 2
OF_EVERY_RANK = ("checkpoint.begun", "checkpoint.written", "checkpoint.sealed")
OF_RANK_0 = ("checkpoint.manifest", "checkpoint.renamed", "checkpoint.pointed")
DAMAGES = 200
GLOO_S = 20.0


def cut_off(root: Path, seed: int) -> Outcome:
    """F9: a rank is killed at each point of a save: the newest complete checkpoint is found and loads on all ranks."""
    outcome = Outcome()
    cuts = [(rank, point) for rank in range(RANKS) for point in OF_EVERY_RANK] + [(0, point) for point in OF_RANK_0]
    random.Random(seed).shuffle(cuts)
    for number, (rank, point) in enumerate(cuts):
        folder = root / f"cut-{number}"
        _ranks(folder, [5, 10], {rank: f"{point}:kill@2"}, outcome)
        killed_at = time.monotonic()
        expected = 10 if point == "checkpoint.pointed" else 5
        found = find_newest_valid(folder)
        step = None if found is None else found.step
        outcome.require(step == expected, f"rank {rank} killed at {point}: step {step} is found, not {expected}")
        _ranks(folder, [15], {}, outcome)
        outcome.recovery_s.append(time.monotonic() - killed_at)
        found = find_newest_valid(folder)
        outcome.require(found is not None and found.step == 15, f"after {point} no further save succeeds")
        outcome.require(not list(folder.glob("*.tmp")), f"after {point} a temporary folder is left")
        outcome.injected += 1
    return outcome


def _ranks(folder: Path, steps: list[int], points: dict[int, str], outcome: Outcome) -> None:
    """All ranks find the newest checkpoint, then save these steps; those with a failpoint must be killed by it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ranks = [
        FORKING.Process(target=save, args=(folder, rank, port, steps, points.get(rank, ""))) for rank in range(RANKS)
    ]
    for rank in ranks:
        rank.start()
    for number in points or range(RANKS):
        ranks[number].join(3 * GLOO_S)
        wanted = -signal.SIGKILL if points else 0
        code = ranks[number].exitcode
        outcome.require(code == wanted, f"rank {number} of {points} ended with {code}")
    for rank in ranks:  # those that wait for the dead rank
        rank.kill()
        rank.join()


def save(folder: Path, rank: int, port: int, steps: list[int], points: str) -> None:
    """One rank, in its own process; its output goes to a file."""
    folder.mkdir(exist_ok=True)
    begin(folder / f"rank-{rank}.log", points)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=RANKS, timeout=timedelta(seconds=GLOO_S))
    store = Checkpoints(folder, Ranks(rank, RANKS, torch.device("cpu")), keep=2, settings={})
    store.newest()
    for step in steps:
        store.save(step, lambda into, step=step: write_rank(into, rank, step))
    dist.destroy_process_group()


def write(folder: Path, ranks: int, step: int) -> None:
    """The files of all ranks."""
    for rank in range(ranks):
        write_rank(folder, rank, step)


def write_rank(folder: Path, rank: int, step: int) -> None:
    (folder / "state").mkdir(exist_ok=True)
    (folder / "state" / f"optimizer-{rank}.pt").write_bytes(random.Random(step + rank).randbytes(20_000))
    if rank == 0:
        (folder / "model.safetensors").write_bytes(random.Random(step).randbytes(50_000))


def damaged(root: Path, seed: int) -> Outcome:
    """F11: the newest checkpoint is damaged: each damage is noticed, the file named, the checkpoint before loaded."""
    outcome = Outcome()
    rng = random.Random(seed)
    store = Checkpoints(root / "sound", Ranks(0, 1, torch.device("cpu")), keep=2, settings={})
    for step in (5, 10):
        assert store.save(step, lambda folder, step=step: write(folder, 2, step))
    warnings = _Warnings()
    log = logging.getLogger("learner.manifest")
    log.addHandler(warnings)
    try:
        for number in range(DAMAGES):
            folder = root / "damaged"
            shutil.copytree(root / "sound", folder)
            newest = folder / (folder / LATEST).read_text().strip()
            name = rng.choice(list(DAMAGE))
            victim = rng.choice(sorted(path for path in newest.rglob("*") if path.is_file()))
            touched = DAMAGE[name](victim, rng)
            warnings.texts.clear()
            found = find_newest_valid(folder)
            outcome.require(found is not None and found.step == 5, f"{number}: {name} of {victim.name} went unnoticed")
            message = " ".join(warnings.texts)
            named = any(file in message for file in touched)
            outcome.require(named, f"{number}: {name}: {touched} unnamed in {message!r}")
            outcome.injected += 1
            shutil.rmtree(folder)
    finally:
        log.removeHandler(warnings)
    return outcome


class _Warnings(logging.Handler):
    """Records warnings."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def _flip(path: Path, rng: random.Random) -> set[str]:
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    return {path.name}


def _zero_a_page(path: Path, rng: random.Random) -> set[str]:
    """As a lost write of the file system does."""
    data = bytearray(path.read_bytes())
    start = rng.randrange(len(data)) // 4096 * 4096
    page = data[start : start + 4096]
    data[start : start + len(page)] = bytes(len(page))
    path.write_bytes(data)
    return {path.name}


def _truncate(path: Path, rng: random.Random) -> set[str]:
    os.truncate(path, rng.randrange(path.stat().st_size))
    return {path.name}


def _delete(path: Path, rng: random.Random) -> set[str]:
    path.unlink()
    return {path.name}


def _append(path: Path, rng: random.Random) -> set[str]:
    with path.open("ab") as file:
        file.write(rng.randbytes(rng.randint(1, 100)))
    return {path.name}


def _swap_ranks(path: Path, rng: random.Random) -> set[str]:
    """Each rank's file under the other's name."""
    checkpoint = next(parent for parent in path.parents if (parent / MANIFEST).exists())
    first, second = (checkpoint / "state" / f"optimizer-{rank}.pt" for rank in (0, 1))
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    return {first.name, second.name}


DAMAGE: dict[str, Callable[[Path, random.Random], set[str]]] = {
    "a flipped bit": _flip,
    "a zeroed page": _zero_a_page,
    "a truncation": _truncate,
    "a deletion": _delete,
    "bytes at the end": _append,
    "files of ranks swapped": _swap_ranks,
}
"""Kind of damage -> function that damages a file and returns the names of the files it changed."""
