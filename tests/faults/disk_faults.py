"""Faults of the disk that checkpoints are saved on."""

import json
import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from learner.checkpoints import MAX_FAILURES
from tests.faults.outcome import Outcome
from tests.learner.ranks import Processes
from tests.learner.tiny import save_tiny

RANKS = 2
FILE_SYSTEM_MIB = 6
TROUBLES = ("rank-0", "rank-1", "full")


def disk_full(root: Path, seed: int) -> Outcome:
    """F10: no space for a checkpoint, on all ranks or on one: training continues, the last checkpoint stays, the next
    save succeeds. Finally the disk stays full, and training ends with an error that names the folder.
    """
    outcome = Outcome()
    rng = random.Random(seed)
    save_tiny(root / "model")
    with _small_file_system(root / "checkpoints") as troubles:
        once = rng.sample(troubles, len(troubles))
        plan = [word for trouble in once for word in (trouble, "")] + [rng.choice(troubles)] * MAX_FAILURES
        options = {
            "folder": str(root / "checkpoints"), "model_path": str(root / "model"),
            "troubles": plan, "zero_stage": rng.choice((2, 3)),  # in these stages every rank writes
        }  # fmt: skip
        ranks = Processes("save", options, root / "ranks", world_size=RANKS, module="tests.faults.saving_rank")
        codes = ranks.wait()
        outcome.require(codes == [0] * RANKS, f"the ranks ended with {codes}: {ranks.output()}")
        results = [json.loads(line) for line in ranks.output().splitlines() if line.startswith('{"trouble"')]
        outcome.require(len(results) == len(plan), f"{len(results)} of {len(plan)} saves ended")
        newest = None
        for step, (trouble, save) in enumerate(zip(plan, results, strict=False), start=1):
            last = step == len(plan)
            if not trouble:
                newest = step
            outcome.injected += bool(trouble)
            outcome.require(save["newest"] == newest, f"save {step} ({trouble}): step {save['newest']} is found")
            if trouble and last:
                gave_up = str(save["saved"])
                named = "failures in a row" in gave_up and str(root / "checkpoints") in gave_up
                outcome.require(named, f"after {MAX_FAILURES} failures in a row: {gave_up}")
            else:
                outcome.require(save["saved"] is not bool(trouble), f"save {step} ({trouble}): {save['saved']}")
            if step > 1 and plan[step - 2] and not trouble:
                outcome.recovery_s.append(save["seconds"])
    return outcome


@contextmanager
def _small_file_system(folder: Path) -> Iterator[tuple[str, ...]]:
    """The disk faults that are possible here. Only root can mount the file system that "full" needs."""
    folder.mkdir()
    if os.geteuid() != 0:
        yield TROUBLES[:RANKS]
        return
    mount = ["mount", "-t", "tmpfs", "-o", f"size={FILE_SYSTEM_MIB}m,mode=700", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        yield TROUBLES[:RANKS]
        return
    try:
        yield TROUBLES
    finally:
        subprocess.run(["umount", str(folder)], check=True)
