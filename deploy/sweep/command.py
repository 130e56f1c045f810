"""`pope sweep`: runs several experiments under several seeds and prints a table of the results.

    run.root/SWEEP/sweep.json    state and results of every run; rewritten whenever the state of a run changes
    run.root/SWEEP/RUN/          the folder of a run, EXPERIMENT-sSEED
    run.root/SWEEP/logs/RUN.log  its output

The same command resumes a sweep: finished runs are skipped, unfinished ones resumed.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from broker.errors import PopeError, UsageError
from conf.load import settings_hash
from conf.redact import redacted
from deploy.cluster.interrupts import Interrupted, Interrupts
from deploy.store.run_folder import FolderLock, RunFolder
from deploy.sweep.children import Child, Process
from deploy.sweep.outcome_table import SweepView, as_json, closing_table
from deploy.sweep.plan import PlannedRun, SweepPlan, plan_sweep
from deploy.sweep.runner import Progress, Runner, Start
from deploy.view.screen import Screen


def sweep(
    words: Sequence[str],
    console: Screen,
    *,
    jobs: int | None = None,
    at_once: int = 1,
    fresh: bool = False,
    stop_on_failure: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Run the experiments that `words` name, `jobs` at once on a Ray cluster or `at_once` on this machine.

    Returns the content of sweep.json.

    Raises UsageError for invalid input, PopeError when a run failed, Interrupted when a signal ended the sweep.
    """
    if jobs is not None and at_once > 1:
        raise UsageError("--jobs counts runs on a Ray cluster, --at-once runs on this machine: give one of them")
    plan = plan_sweep(words)
    start = _process_starter(plan) if jobs is None else _job_starter(plan, fresh)
    runner = Runner(plan.runs, start, at_once=jobs or at_once, fresh=fresh, stop_on_failure=stop_on_failure)
    if dry_run:
        _print_plan(plan, runner.rows, console)
        return as_json(plan, runner.rows)
    with ExitStack() as stack:
        lock = FolderLock(plan.folder)
        lock.acquire()
        stack.callback(lock.release)
        (plan.folder / "logs").mkdir(exist_ok=True)
        console.print(f"{plan.name} in {plan.folder}: {len(plan.runs)} runs")
        _run(plan, runner, console)
    if runner.failed:
        names = ", ".join(row.run.name for row in runner.failed)
        raise PopeError(f"{len(runner.failed)} of {len(plan.runs)} runs failed ({names}); see {plan.folder / 'logs'}")
    return as_json(plan, runner.rows)


def _run(plan: SweepPlan, runner: Runner, console: Screen) -> None:
    """Run everything, show and save the progress; print the table even after an error or a signal."""
    interrupts, save = Interrupts(), _Saver(plan)
    try:
        with interrupts, SweepView(console, runner.at_once) as view, interrupts.graceful(runner):

            def show(rows: Sequence[Progress]) -> None:
                save(rows)
                view(rows)

            runner.run(show)
    finally:
        save(runner.rows)
        console.print(closing_table(plan.name, runner.rows))
        for row in runner.failed:
            console.print(f"  {row.run.name}: {row.note}")
    if interrupts.requested:
        raise Interrupted(interrupts.requested)


class _Saver:
    """Writes sweep.json whenever the state of a run has changed."""

    def __init__(self, plan: SweepPlan) -> None:
        self._plan = plan
        self._saved: list[str] = []

    def __call__(self, rows: Sequence[Progress]) -> None:
        states: list[str] = [row.state for row in rows]
        if states != self._saved:
            RunFolder(self._plan.folder).save_json(self._plan.folder / "sweep.json", as_json(self._plan, rows))
            self._saved = states


def _process_starter(plan: SweepPlan) -> Start:
    def start(run: PlannedRun, resume: bool) -> Child:
        return Process(_words(run, resume), plan.folder / "logs" / f"{run.name}.log")

    return start


def _job_starter(plan: SweepPlan, fresh: bool) -> Start:
    """Raises UsageError when a job still works on the folder of a run and cannot be followed."""
    from deploy.sweep.jobs import Cluster

    cluster = Cluster()
    for run in plan.runs:
        cluster.refuse_running(RunFolder.of(run.config).path, settings_hash(run.config), fresh=fresh)

    def start(run: PlannedRun, resume: bool) -> Child:
        return cluster.run(_words(run, resume), RunFolder.of(run.config).path, settings_hash(run.config))

    return start


def _words(run: PlannedRun, resume: bool) -> list[str]:
    return [*run.words, "run.resume=true"] if resume else list(run.words)


def _print_plan(plan: SweepPlan, rows: Sequence[Progress], console: Screen) -> None:
    for row in rows:
        words = " ".join(str(redacted(word)) for word in row.run.words)
        console.print(f"{row.run.name} ({row.existing}): pope train {words}", soft_wrap=True)

    console.print(f"{len(rows)} runs in {plan.folder}")
