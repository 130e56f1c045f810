"""What the folder of a run says about it: not begun, to be gone on with, or done."""

from typing import Any, Literal

import msgspec

from broker.errors import UsageError
from conf.load import NOT_PART_OF_A_RUN, load, settings_hash
from conf.names import flat
from deploy.cluster.interrupts import REASON
from deploy.store.run_folder import RunFolder
from deploy.sweep.plan import PlannedRun

Found = Literal["new", "begun", "finished"]


def find(run: PlannedRun) -> Found:
    """Raises UsageError when the folder holds a run with other settings, which is never mixed with this one."""
    folder = RunFolder.of(run.config)
    if not folder.settings.exists():
        return "new"
    kept = load(folder.settings)
    if settings_hash(kept) != settings_hash(run.config):
        ours, theirs = flat(run.config), flat(kept)
        names = [name for name in ours if ours[name] != theirs[name] and name not in NOT_PART_OF_A_RUN]
        raise UsageError(
            f"{folder.path} holds a run with other settings ({', '.join(names[:4])}): choose another run.name for the "
            "sweep, or --fresh to keep that run under a number and start anew"
        )
    summary = summary_of(run)
    if summary is None or summary["ended"].startswith(REASON):
        return "begun"
    return "finished" if _budget_is_used(run, summary) else "begun"


def summary_of(run: PlannedRun) -> dict[str, Any] | None:
    """Its summary.json; None before there is one."""
    path = RunFolder.of(run.config).summary
    if not path.exists():
        return None
    found: dict[str, Any] = msgspec.json.decode(path.read_bytes())
    return found


def _budget_is_used(run: PlannedRun, summary: dict[str, Any]) -> bool:
    """A run whose budget was raised since goes on."""
    budget = run.config.run
    groups_used = budget.max_groups is not None and summary["counters"]["issued"] >= budget.max_groups
    return summary["steps"] >= budget.max_steps or groups_used
