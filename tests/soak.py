"""A long run: does the memory of any role grow, and does the balance hold at the end?

    make soak MINUTES=30
    python -m tests.soak --minutes 30 --out runs/soak

Runs a small `pope train` without a step budget and ends it by Ctrl-C after the time. Samples the resident memory of
every role, its child processes included, into memory.csv and memory.png. Prints the slope of each role over the second
half of the time, with a standard error from block means (neighbouring samples are correlated), and the result of `pope
audit`. The exit code is 1 when a role grows, the audit finds a violation, or a process is left.
"""

import argparse
import contextlib
import csv
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import psutil
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from deploy.audit.command import audit
from tests.runs import SMALL, Run, interrupt, start

mpl.use("Agg")

EVERY_S = 2.0
BLOCKS = 10
GROWTH, GROWTH_MIB = 0.05, 3.0
"""Growth per hour, as a share of the role's memory and in MiB, below which a significant slope still counts as flat:
allocators cause that much."""
START_S, END_S = 600.0, 180.0
SETTINGS = (
    "run.max_steps=1000000", "run.max_groups=null", "learner.checkpoint_every=25", "evaluation.num_held_out=0",
    "actors.max_num_seqs=32", "experiment=pope",
    "broker.kept_reports=1000",  # small enough to be reached within the time
)  # fmt: skip
ROLES = {
    "ActorRole": "actor", "PreprocessRole": "preprocess", "LearnerRole": "learner",
    "valkey-server": "redis", "raylet": "raylet", "gcs_server": "gcs",
}  # fmt: skip
"""Part of a process's command line -> the role that it and its children belong to."""
RAY_ROLES = ("raylet", "gcs", "ray")


@dataclass(frozen=True)
class Slope:
    """Slope of one role's memory over the second half of a soak."""

    role: str
    mean_mib: float
    mib_per_hour: float
    error: float
    """Standard error of `mib_per_hour`."""

    @property
    def flat(self) -> bool:
        """Whether the slope is within two standard errors, or too small to matter."""
        return self.mib_per_hour < max(2 * self.error, GROWTH * self.mean_mib, GROWTH_MIB)

    @property
    def judged(self) -> bool:
        """Whether the role runs our code; Ray's own processes do not."""
        return self.role not in RAY_ROLES

    @property
    def verdict(self) -> str:
        return ("flat" if self.flat else "[red]grows[/red]") if self.judged else "Ray's own"


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Watch the memory of a real run.")
    parser.add_argument("--minutes", type=float, default=30, metavar="N", help="how long, from the first step on")
    parser.add_argument("--out", type=Path, default=Path("runs"), metavar="FOLDER", help="run.root of the run")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="settings of the run")
    options = parser.parse_args(words)
    console = Console()
    run = start("train", options.out.resolve(), *SMALL, *SETTINGS, *options.settings, name="soak")
    try:
        samples = list(_watch(run, options.minutes * 60, console))
        interrupt(run)
        output = run.wait(END_S)
    except BaseException:
        run.kill()
        raise
    if run.process.returncode != 130:
        console.print(output + run.logs(), markup=False)
        console.print(f"[red]the run ended with {run.process.returncode}[/red]")
        return 1
    slopes = _slopes(samples)
    _save(run.folder, samples, slopes)
    return _judge(run, slopes, console)


def _watch(run: Run, for_s: float, console: Console) -> Iterator[tuple[float, str, float]]:
    """Yields (seconds, role, MiB) from the first step until the time is over or the run ends."""
    with Progress(console=console) as progress:
        waiting = progress.add_task("until the first step", total=None)
        deadline = time.monotonic() + START_S
        while run.steps() == 0:
            if run.process.poll() is not None or time.monotonic() > deadline:
                return
            time.sleep(EVERY_S)
        progress.remove_task(waiting)
        bar = progress.add_task("sampling", total=for_s)
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < for_s and run.process.poll() is None:
            for role, mib in _memory(run).items():
                yield elapsed, role, mib
            progress.update(bar, completed=elapsed, description=f"step {run.steps()}")
            time.sleep(EVERY_S)


def _memory(run: Run) -> dict[str, float]:
    """Role -> resident memory now, MiB."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return _of(psutil.Process(run.process.pid), "driver")
    return {}


def _of(process: psutil.Process, role: str) -> dict[str, float]:
    """Memory of a process and its descendants by role. A child without a role of its own counts for its parent's."""
    memory: dict[str, float] = defaultdict(float)
    with contextlib.suppress(psutil.NoSuchProcess):
        line = " ".join(process.cmdline())
        role = next((name for part, name in ROLES.items() if part in line), role)
        memory[role] += process.memory_info().rss / 2**20
        for child in process.children():
            for name, mib in _of(child, "ray" if role == "raylet" else role).items():
                memory[name] += mib
    return memory


def _slopes(samples: Sequence[tuple[float, str, float]]) -> list[Slope]:
    """Slope of each role over the second half; the first half is warm-up."""
    end = max((moment for moment, _, _ in samples), default=0.0)
    slopes = []
    for role in sorted({role for _, role, _ in samples}):
        points = np.array([(moment, mib) for moment, name, mib in samples if name == role and moment >= end / 2])
        if len(points) >= 2 * BLOCKS:
            slopes.append(Slope(role, float(points[:, 1].mean()), *slope_of(points)))
    return slopes


def slope_of(points: np.ndarray) -> tuple[float, float]:
    """(slope, its standard error) per hour of `points` [N, 2]: (seconds, value), by least squares on block means."""
    means = np.array([block.mean(axis=0) for block in np.array_split(points, BLOCKS)])
    hours, values = means[:, 0] / 3600, means[:, 1]
    centred = hours - hours.mean()
    slope = float(centred @ values / (centred @ centred))
    residuals = values - values.mean() - slope * centred
    return slope, float(np.sqrt(residuals @ residuals / (BLOCKS - 2) / (centred @ centred)))


def _save(folder: Path, samples: Sequence[tuple[float, str, float]], slopes: Sequence[Slope]) -> None:
    from matplotlib import pyplot as plt

    with (folder / "memory.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("seconds", "role", "rss_mib"))
        writer.writerows((f"{moment:.1f}", role, f"{mib:.2f}") for moment, role, mib in samples)
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for role in sorted({role for _, role, _ in samples}):
        points = [(moment / 60, mib) for moment, name, mib in samples if name == role]
        label = [f"{s.mib_per_hour:+.1f} ± {2 * s.error:.1f} MiB/h" for s in slopes if s.role == role]
        axes.plot(*zip(*points, strict=True), label=" ".join([role, *label]), linewidth=1)
    axes.set(xlabel="minutes since the first step", ylabel="resident memory, MiB", yscale="log")
    axes.legend(fontsize="small", ncols=2)
    figure.savefig(folder / "memory.png", dpi=110)
    plt.close(figure)


def _judge(run: Run, slopes: Sequence[Slope], console: Console) -> int:
    table = Table("role", "MiB", "MiB an hour", "± 2 errors", "")
    for slope in slopes:
        cells = f"{slope.mean_mib:.1f}", f"{slope.mib_per_hour:+.2f}", f"{2 * slope.error:.2f}"
        table.add_row(slope.role, *cells, slope.verdict)
    console.print(table)
    result, left = audit(run.folder), run.left_behind()
    console.print(result.explain(), highlight=False, markup=False)
    console.print(f"memory.csv and memory.png are in {run.folder}", highlight=False)
    if left:
        console.print(f"[red]left running: {[process.pid for process in left]}[/red]")
    grows = any(slope.judged and not slope.flat for slope in slopes)
    return int(not slopes or grows or result.violation is not None or bool(left))


if __name__ == "__main__":
    sys.exit(main())
