"""`pope oracle`: adds verified solutions to the problems of a source.

FILE has all problems and is written when the command ends, also after Ctrl-C. FILE.attempts.jsonl has every request and
its outcome; it is written as requests complete, and the same command continues from it.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from actors.problems.catalog import load_problems
from actors.problems.jsonl import write_problems
from actors.problems.mixture import ARM_BUCKET
from actors.problems.oracle.attempts import AttemptLog, Header, fingerprint
from actors.problems.oracle.request_counts import RequestCounts
from actors.problems.oracle.requests import Oracle
from broker.errors import PopeError, UsageError
from broker.records import Problem
from conf.schema import OracleSettings, RunConfig
from deploy.run.endpoint_calls import api_key, open_endpoint, stopped_by_signals
from deploy.view.request_table import request_table
from deploy.view.screen import Screen

PROGRESS_EVERY_S = 10.0
"""Seconds between two lines of progress where stderr is not a terminal."""


def oracle(
    config: RunConfig, out: Path, console: Console, *, fresh: bool = False, redo: bool = False
) -> dict[str, Any]:
    """Request a solution of every problem without one (`redo`: of every problem), write `out`, print the counts.

    Returns the counts of this run. Raises UsageError for invalid input, and PopeError when every request failed. If the
    run ends early, its cause is raised after the output is written.
    """
    settings = config.oracle
    if settings.model is None:
        raise UsageError("oracle.model is not set; give oracle.model=NAME, the model's name at the endpoint")
    key = api_key("oracle.api_key_env", settings.api_key_env)
    attempts_path = out.with_name(f"{out.name}.attempts.jsonl")
    _check_out(out, attempts_path, config.problems.source, fresh=fresh)
    _check_writable(out)
    # All buckets are written out again. The guided arm is left out because it requires the missing solutions.
    arms = {arm: 1 for arm in ARM_BUCKET if arm != "guided"}
    problems = load_problems(replace(config.problems, arms=arms, limit={}), config.run.seed, config.verifier)
    wanted = [problem for problem in problems if redo or problem.solution is None]
    header = Header(model=settings.model, source=config.problems.source, problems=fingerprint(problems))
    start = time.monotonic()
    with AttemptLog(attempts_path, header, fresh=fresh) as log:
        solver = asyncio.run(_request_solutions(config, key, wanted, log))
        _write(out, [_with_solution(problem, solver.solutions.get(problem.id)) for problem in problems])
    _print_summary(console, settings, solver, problems, wanted, time.monotonic() - start)
    files = f"  {len(problems)} problems are in {out}, every attempt is in {attempts_path}"
    console.print(files, markup=False, highlight=False)
    if solver.stopped_by is not None:
        raise solver.stopped_by
    counts = solver.this_run
    if counts.requests and not counts.answers:
        failed = ", ".join(f"{count} {name}" for name, count in counts.errors.most_common())
        raise PopeError(
            f"every request to {settings.endpoint} failed ({failed}): check oracle.endpoint, oracle.model and the key, "
            "then run the same command again"
        )
    return {
        "out": str(out),
        "problems": len(problems),
        "requests": counts.requests,
        "answers": counts.answers,
        "accepted": len(counts.accepted),
        "failed": dict(counts.errors),
        "unsolved": len(wanted) - sum(problem.id in solver.solutions for problem in wanted),
    }


def _check_out(out: Path, attempts: Path, source: str, *, fresh: bool) -> None:
    if out.is_dir():
        raise UsageError(f"--out {out} is a folder; name a file")
    if out.exists() and Path(source).expanduser().exists() and out.samefile(Path(source).expanduser()):
        raise UsageError(f"--out {out} is the source itself, which would lose its other fields; choose another file")
    if out.exists() and not attempts.exists() and not fresh:
        raise UsageError(f"--out {out} exists and {attempts} does not; choose another file, or replace it by --fresh")


def _check_writable(out: Path) -> None:
    """Raises UsageError before anything is requested when the answers could not be written."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {out}: {error.strerror}; name a file in a folder that can be written") from error
    if not os.access(out if out.exists() else out.parent, os.W_OK):
        raise UsageError(f"--out {out} cannot be written; name a file in a folder that can be written")


async def _request_solutions(
    config: RunConfig, key: str | None, problems: Sequence[Problem], log: AttemptLog
) -> Oracle:
    async with open_endpoint(config.oracle, key, config.verifier) as (endpoint, verifier):
        solver = Oracle(
            config.oracle, ask=endpoint.ask, judge=verifier.judge, record=log.append, earlier=log.earlier
        )
        with stopped_by_signals(solver), _progress(len(solver.unsolved(problems))) as show:
            await solver.solve(problems, on_done=lambda: show(solver.this_run))
    return solver


@contextmanager
def _progress(total: int) -> Iterator[Callable[[RequestCounts], None]]:
    """Progress on stderr: a bar in a terminal, otherwise a line every PROGRESS_EVERY_S seconds.

    Yields a function to call after each problem.
    """
    console = Screen(stderr=True, soft_wrap=not sys.stderr.isatty())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    name = TextColumn("  {task.description}", markup=False)
    columns = (name, BarColumn(), MofNCompleteColumn(), *times)
    next_line, num_done = time.monotonic() + PROGRESS_EVERY_S, 0
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("requesting solutions", total=total)

        def show(counts: RequestCounts) -> None:
            nonlocal next_line, num_done
            num_done += 1
            status = f"{len(counts.accepted)} accepted, {counts.errors.total()} failed requests"
            bar.update(task, completed=num_done, description=status)
            if not console.is_terminal and time.monotonic() >= next_line:
                next_line = time.monotonic() + PROGRESS_EVERY_S
                console.print(f"  {num_done}/{total} problems · {status}", highlight=False)

        yield show


def _with_solution(problem: Problem, solution: str | None) -> Problem:
    if solution is None:
        return problem
    return msgspec.structs.replace(problem, solution=solution, guidance=None)  # guidance is cut from the solution


def _write(path: Path, problems: Sequence[Problem]) -> None:
    try:
        write_problems(path, problems)
    except OSError as error:
        raise UsageError(
            f"--out {path}: {error.strerror}; make room or choose another file; no answer is lost, the same command "
            "writes it again"
        ) from error


def _print_summary(
    console: Console,
    settings: OracleSettings,
    solver: Oracle,
    problems: Sequence[Problem],
    wanted: Sequence[Problem],
    wall_s: float,
) -> None:
    """Print requests, answers and cost of this run, and of all runs of the same log."""
    title = f"oracle solutions by {settings.model}"
    console.print(request_table(title, settings, solver.this_run, solver.all_runs, wall_s))
    num_unsolved = len(solver.unsolved(wanted))
    given_up = len(wanted) - num_unsolved - sum(problem.id in solver.solutions for problem in wanted)
    console.print(
        f"  {len(problems) - len(wanted)} problems were skipped (they have a solution), {given_up} are unsolved after "
        f"all {settings.max_attempts} attempts, {num_unsolved} are left for another run",
        highlight=False,
    )
