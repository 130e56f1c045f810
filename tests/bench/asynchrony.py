"""P1: what asynchrony gains, against what it can gain. Two short runs of all roles, 2 to 3 minutes each.

A synchronous step takes Tg + Tt: the learner waits Tg for its batch, and works Tt on it. If both sides work at the same
time, a step takes max(Tg, Tt). Tg and Tt are those of the synchronous run, as its learner reported them; both are of a
machine whose roles share its cores, so the bound is one of the schedule, not of the arithmetic. Every group is trained
(no filter), so that a step of either run is the same work.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from broker.reports import WAIT_INPUT, LearnerStep, RoleTimes
from deploy.statistics.role_times import times_by_kind
from deploy.store.metric_files import read_reports
from tests.bench.measure import Measure, of_pairs
from tests.runs import finish, start

STEPS, SKIPPED = 60, 5
"""Steps of a run, and those at its begin that are not counted."""
SETTINGS = (
    f"run.max_steps={STEPS}", "run.max_groups=null", "problems.num_hard=32", "problems.chain_steps=2",
    "problems.arms={unguided: 1}", "evaluation.samples=1", "evaluation.k=[1]", "learner.checkpoint_every=0",
    "preprocess.drop_zero_advantage=false", "deploy.heartbeat_s=1.0",
)  # fmt: skip


def asynchrony() -> list[Measure]:
    with TemporaryDirectory() as root:
        synchronous, tg_s, tt_s = _run(Path(root), "sync", "learner.max_lag=0")
        asynchronous, _, _ = _run(Path(root), "async")
    bound = (tg_s + tt_s) / max(tg_s, tt_s)
    gain = synchronous / asynchronous
    return [
        of_pairs(
            "P1", "asynchrony: (s a step synchronous / asynchronous) / ((Tg + Tt) / max(Tg, Tt))", [gain / bound],
            target=">= 0.9",
            detail=f"gain {gain:.2f} of at most {bound:.2f}; {synchronous:.2f} and {asynchronous:.2f} s a step, "
            f"Tg {tg_s:.2f} s, Tt {tt_s:.2f} s",
        )
    ]  # fmt: skip


def _run(root: Path, name: str, *settings: str) -> tuple[float, float, float]:
    """(seconds a step, seconds a step that the learner waited, that it worked) of a complete run."""
    run = start("train", root, *SETTINGS, *settings, name=name)
    finish(run)
    at_s = [step.unix_s for step in read_reports(run.folder / "metrics", LearnerStep)]
    step_s = (at_s[-1] - at_s[SKIPPED]) / (len(at_s) - 1 - SKIPPED)
    waited = times_by_kind(read_reports(run.folder / "metrics", RoleTimes))["learner"].share(WAIT_INPUT)
    return step_s, waited * step_s, (1 - waited) * step_s
