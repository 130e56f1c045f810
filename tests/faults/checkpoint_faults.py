"""Faults of checkpoints: cut off at every point, and damaged afterwards."""

import logging
import multiprocessing
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

from broker import failpoints
from learner.checkpoints import Checkpoints
from learner.manifest import LATEST, MANIFEST, find_newest_valid
from learner.ranks import Ranks
from tests.faults.outcome import Outcome

RANKS = 2
OF_EVERY_RANK = ("checkpoint.begun", "checkpoint.written", "checkpoint.sealed")
OF_RANK_0 = ("checkpoint.manifest", "checkpoint.renamed", "checkpoint.pointed")
DAMAGES = 200
GLOO_S = 20.0


def cut_off(root: Path, seed: int) -> Outcome:
    """F9: a rank killed at each point of a save: the newest checkpoint loads on all ranks, whichever it is."""
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
        outcome.require(not list(folder.glob("*.tmp")), f"after {point} a temporary folder stays for ever")
        outcome.injected += 1
    return outcome


def _ranks(folder: Path, steps: list[int], points: dict[int, str], outcome: Outcome) -> None:
    """All ranks find the newest checkpoint, then save these steps; those with a failpoint must die of it."""
    # Forked from a process that has torch: a rank is up in a moment.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ranks = [
        context.Process(target=save, args=(folder, rank, port, steps, points.get(rank, ""))) for rank in range(RANKS)
    ]
    for rank in ranks:
        rank.start()
    for number in points or range(RANKS):
        ranks[number].join(3 * GLOO_S)
        wanted = -signal.SIGKILL if points else 0
        code = ranks[number].exitcode
        outcome.require(code == wanted, f"rank {number} of {points} ended with {code}")
    for rank in ranks:  # whoever waits for the dead one
        rank.kill()
        rank.join()


def save(folder: Path, rank: int, port: int, steps: list[int], points: str) -> None:
    """One rank, in a process of its own; what it says of the other's death is kept in a file."""
    folder.mkdir(exist_ok=True)
    os.dup2(os.open(folder / f"rank-{rank}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), 2)
    torch.set_num_threads(1)
    failpoints.arm(points, None)
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
    """F11: damages of the newest checkpoint, one at a time: noticed, the file named, the one before taken."""
    outcome = Outcome()
    dice = random.Random(seed)
    store = Checkpoints(root / "sound", Ranks(0, 1, torch.device("cpu")), keep=2, settings={})
    for step in (5, 10):
        assert store.save(step, lambda folder, step=step: write(folder, 2, step))
    heard = _Warnings()
    log = logging.getLogger("learner.manifest")
    log.addHandler(heard)
    try:
        for number in range(DAMAGES):
            folder = root / "damaged"
            shutil.copytree(root / "sound", folder)
            newest = folder / (folder / LATEST).read_text().strip()
            name = dice.choice(list(DAMAGE))
            victim = dice.choice(sorted(path for path in newest.rglob("*") if path.is_file()))
            touched = DAMAGE[name](victim, dice)
            heard.texts.clear()
            found = find_newest_valid(folder)
            outcome.require(found is not None and found.step == 5, f"{number}: {name} of {victim.name} went unnoticed")
            said = " ".join(heard.texts)
            outcome.require(any(file in said for file in touched), f"{number}: {name}: {touched} unnamed in {said!r}")
            outcome.injected += 1
            shutil.rmtree(folder)
    finally:
        log.removeHandler(heard)
    return outcome


class _Warnings(logging.Handler):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def _flip(path: Path, dice: random.Random) -> set[str]:
    data = bytearray(path.read_bytes())
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    path.write_bytes(data)
    return {path.name}


def _zero_a_page(path: Path, dice: random.Random) -> set[str]:
    """What a lost write of the file system leaves behind."""
    data = bytearray(path.read_bytes())
    start = dice.randrange(len(data)) // 4096 * 4096
    page = data[start : start + 4096]
    data[start : start + len(page)] = bytes(len(page))
    path.write_bytes(data)
    return {path.name}


def _truncate(path: Path, dice: random.Random) -> set[str]:
    os.truncate(path, dice.randrange(path.stat().st_size))
    return {path.name}


def _delete(path: Path, dice: random.Random) -> set[str]:
    path.unlink()
    return {path.name}


def _append(path: Path, dice: random.Random) -> set[str]:
    with path.open("ab") as file:
        file.write(dice.randbytes(dice.randint(1, 100)))
    return {path.name}


def _swap_ranks(path: Path, dice: random.Random) -> set[str]:
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
"""What is done to a file -> (names of the files it touched)."""
