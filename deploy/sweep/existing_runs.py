"""The state of a planned run before the sweep, read from its folder: new, unfinished or finished."""

from typing import Any, Literal

import msgspec

from broker.errors import UsageError
from conf.load import CHANGEABLE_ON_RESUME, OF_NO_RUN, load, settings_hash
from conf.names import flat
from deploy.cluster.interrupts import REASON
from deploy.store.run_folder import RunFolder
from deploy.sweep.plan import PlannedRun

ExistingState = Literal["new", "unfinished", "finished"]


def existing_state(run: PlannedRun) -> ExistingState:
    """Raises UsageError when the folder holds a run with other settings."""
    folder = RunFolder.of(run.config)
    if not folder.settings.exists():
        return "new"
    existing = load(folder.settings)
    if settings_hash(existing) != settings_hash(run.config):
        ours, theirs = flat(run.config), flat(existing)
        fixed = [n for n in ours if n not in CHANGEABLE_ON_RESUME and n.partition(".")[0] not in OF_NO_RUN]
        names = [name for name in fixed if ours[name] != theirs[name]]
        raise UsageError(
            f"{folder.path} holds a run with other settings ({', '.join(names[:4])}): choose another run.name for the "
            "sweep, or --fresh to rename that folder and start over"
        )
    summary = read_summary(run)
    if summary is None or summary["ended"].startswith(REASON):
        return "unfinished"
    return "finished" if _budget_is_used(run, summary) else "unfinished"


def read_summary(run: PlannedRun) -> dict[str, Any] | None:
    """The content of its summary.json; None before there is one."""
    path = RunFolder.of(run.config).summary
    if not path.exists():
        return None
    summary: dict[str, Any] = msgspec.json.decode(path.read_bytes())
    return summary


def _budget_is_used(run: PlannedRun, summary: dict[str, Any]) -> bool:
    """False when the budget was raised since: the run then continues."""
    budget = run.config.run
    groups_used = budget.max_groups is not None and summary["counters"]["issued"] >= budget.max_groups
    return summary["steps"] >= budget.max_steps or groups_used
