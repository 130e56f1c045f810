"""Compares a replay with the run: which metrics and weights are the same."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from broker.connection import Client
from broker.errors import PopeError
from broker.keys import Keys
from broker.metrics import Metrics
from broker.reports import LearnerStep, from_fields
from deploy.store.metric_files import read_reports
from deploy.store.run_folder import RunFolder
from learner.manifest import MANIFEST, WEIGHTS, folder_of, read_manifest
from learner.replay_plan import STEPS, ReplayPlan

COMPARED = {
    "loss": "loss",
    "grad_norm": "gradient norm",
    "entropy": "entropy",
    "ratio_mean": "ratio mean",
    "ratio_max": "ratio max",
    "clip_share": "clip share",
    "ess": "effective samples",
}
"""Field of `LearnerStep` -> title of its column."""


@dataclass(frozen=True)
class Comparison:
    """Metrics and weights of a replay, and those that the run recorded."""

    plan: ReplayPlan
    changed: dict[str, Any]
    """Settings that differ from the run's."""
    recorded: dict[int, Mapping[str, float]]
    """Step -> its metrics in the run; a step whose report was lost with its process is missing."""
    replayed: dict[int, Mapping[str, float]]
    digest: str
    """SHA-256 of the weights of the last step."""
    expected: str | None
    """The digest in the run's checkpoint of that step, if there is one."""

    def differing(self) -> list[int]:
        """Steps whose metrics differ from those that the run reported."""
        return [
            step
            for step, values in self.replayed.items()
            if step in self.recorded and any(values[key] != self.recorded[step][key] for key in COMPARED)
        ]


def compare(
    folder: RunFolder, plan: ReplayPlan, changed: dict[str, Any], client: Client, keys: Keys
) -> Comparison:
    """Read both sides: the replay from `plan.out`, the run from its folder and Redis."""
    wanted = range(plan.first + 1, plan.last + 1)
    reports = {report.step: report for report in read_reports(folder.metrics, LearnerStep, Metrics(client, keys))}
    checkpoint = folder_of(folder.checkpoints, plan.last)
    return Comparison(
        plan=plan,
        changed=changed,
        recorded={step: _compared(reports[step]) for step in wanted if step in reports},
        replayed={report.step: _compared(report) for report in steps_of(plan.out / STEPS)},
        digest=_sha256(plan.out / WEIGHTS),
        expected=read_manifest(checkpoint)["files"][WEIGHTS]["sha256"] if (checkpoint / MANIFEST).exists() else None,
    )


def steps_of(path: Path) -> list[LearnerStep]:
    """The complete lines so far. JSON has neither infinity nor NaN; null is read as infinity."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    rows = ({k: math.inf if v is None else v for k, v in msgspec.json.decode(line).items()} for line in lines)
    return [from_fields(LearnerStep, row) for row in rows]


def _compared(report: LearnerStep) -> dict[str, float]:
    return {field: _finite(getattr(report, field)) for field in COMPARED}


def _finite(value: float) -> float:
    """The value if it is finite, else infinity."""
    return value if math.isfinite(value) else math.inf


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def report(comparison: Comparison, console: Console) -> None:
    """Print whether the replay equals the run; under changed settings, a table of both."""
    plan = comparison.plan
    if comparison.changed:
        settings = ", ".join(f"{name}={value}" for name, value in comparison.changed.items())
        table = Table(title=f"run / replay with {settings}", title_justify="left")
        table.add_column("step", justify="right")
        for column in COMPARED.values():
            table.add_column(column, justify="right")
        for step, values in comparison.replayed.items():
            before = comparison.recorded.get(step)
            cells = [f"{_number(before[key]) if before else '-'} / {_number(values[key])}" for key in COMPARED]
            table.add_row(str(step), *cells)
        console.print(table)
        return
    compared = len(comparison.recorded)
    equal = compared - len(comparison.differing())
    console.print(
        f"  {', '.join(COMPARED.values())} equal to the run's in {equal} of {compared} reported steps", highlight=False
    )
    verdict = {None: "the run has no checkpoint of that step", comparison.digest: "equal to the run's checkpoint"}
    result = verdict.get(comparison.expected, "NOT those of the run's checkpoint")
    console.print(f"  weights of step {plan.last}: sha256 {comparison.digest}, {result}", highlight=False)


def _number(value: float) -> str:
    return f"{value:.4g}"


def require_equal(comparison: Comparison) -> None:
    """Raises PopeError that names the first difference; under unchanged settings a CPU must give the same bits."""
    if differing := comparison.differing():
        step = differing[0]
        key = next(k for k in COMPARED if comparison.replayed[step][k] != comparison.recorded[step][k])
        was, became = comparison.recorded[step][key], comparison.replayed[step][key]
        raise PopeError(f"step {step} of the replay is not that of the run: {COMPARED[key]} {became!r}, was {was!r}")
    if comparison.expected not in (None, comparison.digest):
        raise PopeError(f"the weights of step {comparison.plan.last} are not those of the run's checkpoint")
