"""`pope oracle`: adds verified solutions to the problems of a source.

FILE has all problems and is written when the command ends, also after Ctrl-C. FILE.attempts.jsonl has every request and
its outcome; it is written as requests complete, and the same command continues from it.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from actors.problems.catalog import load_problems
from actors.problems.jsonl import write_problems
from actors.problems.mixture import ARM_BUCKET
from actors.problems.oracle.attempts import AttemptLog, Header, fingerprint
from actors.problems.oracle.request_counts import RequestCounts
from actors.problems.oracle.requests import Oracle
from actors.verification.verifier import VerifierPool
from broker.errors import UsageError
from broker.records import Problem
from conf.schema import OracleSettings, RunConfig
from deploy.cluster.interrupts import Interrupted
from deploy.view.screen import Screen

PROGRESS_EVERY_S = 10.0
"""Seconds between two lines of progress where stderr is not a terminal."""


def oracle(config: RunConfig, out: Path, console: Console, *, fresh: bool = False, redo: bool = False) -> None:
    """Request a solution of every problem without one (`redo`: of every problem), write `out`, print the counts.

    Raises UsageError for invalid input. If the run ends early, its cause is raised after the output is written.
    """
    settings = config.oracle
    if settings.model is None:
        raise UsageError("oracle.model is not set; give oracle.model=NAME, the model's name at the endpoint")
    key = _api_key(settings.api_key_env)
    attempts_path = out.with_name(f"{out.name}.attempts.jsonl")
    _check_out(out, attempts_path, config.problems.source, fresh=fresh)
    # All buckets are written out again. The guided arm is left out because it requires the missing solutions.
    arms = {arm: 1 for arm in ARM_BUCKET if arm != "guided"}
    problems = load_problems(replace(config.problems, arms=arms, limit={}), config.run.seed)
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


def _api_key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UsageError(
            f"oracle.api_key_env={variable}: that environment variable is not set; export it, or set "
            "oracle.api_key_env=null for an endpoint that needs no key"
        )
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise UsageError(
            f"oracle.api_key_env={variable}: that environment variable holds spaces, line ends or characters that "
            "no key has; set it to the key"
        )
    return key


def _check_out(out: Path, attempts: Path, source: str, *, fresh: bool) -> None:
    if out.is_dir():
        raise UsageError(f"--out {out} is a folder; name a file")
    if out.exists() and Path(source).expanduser().exists() and out.samefile(Path(source).expanduser()):
        raise UsageError(f"--out {out} is the source itself, which would lose its other fields; choose another file")
    if out.exists() and not attempts.exists() and not fresh:
        raise UsageError(f"--out {out} exists and {attempts} does not; choose another file, or replace it by --fresh")


async def _request_solutions(
    config: RunConfig, key: str | None, problems: Sequence[Problem], log: AttemptLog
) -> Oracle:
    from actors.problems.oracle.endpoint import Endpoint  # takes a second to import, so input is checked before

    endpoint = Endpoint(config.oracle, key)
    verifier = VerifierPool(config.verifier)
    loop = asyncio.get_running_loop()
    solver = Oracle(config.oracle, ask=endpoint.ask, judge=verifier.judge, record=log.append, earlier=log.earlier)
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, _stop, solver, loop, number)
        with _progress(len(solver.unsolved(problems))) as show:
            await solver.solve(problems, on_done=lambda: show(solver.this_run))
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        verifier.close()
        await endpoint.close()
    return solver


def _stop(solver: Oracle, loop: asyncio.AbstractEventLoop, number: signal.Signals) -> None:
    """Stop gracefully at the first signal. The handler is removed, so that a second one ends the process at once."""
    loop.remove_signal_handler(number)
    solver.stop(Interrupted(number))


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
    table = Table(title=f"oracle solutions by {settings.model}", title_justify="left")
    table.add_column("")
    table.add_column("this run", justify="right")
    table.add_column("all runs", justify="right")
    columns = (_table_rows(solver.this_run, settings), _table_rows(solver.all_runs, settings))
    for name in columns[1]:  # all runs have every name of this run
        table.add_row(name, *(rows.get(name, "0") for rows in columns))
    table.add_row("wall time", f"{wall_s:.1f} s", "")
    console.print(table)
    num_unsolved = len(solver.unsolved(wanted))
    given_up = len(wanted) - num_unsolved - sum(problem.id in solver.solutions for problem in wanted)
    console.print(
        f"  {len(problems) - len(wanted)} problems were skipped (they have a solution), {given_up} are unsolved after "
        f"all {settings.max_attempts} attempts, {num_unsolved} are left for another run",
        highlight=False,
    )


def _table_rows(counts: RequestCounts, settings: OracleSettings) -> dict[str, str]:
    share = f" ({len(counts.accepted) / len(counts.requested):.0%})" if counts.requested else ""
    rejected = {f"rejected: {name}": count for name, count in sorted(counts.verdicts.items()) if name != "correct"}
    failed = {f"failed: {name}": count for name, count in sorted(counts.errors.items())}
    priced = settings.prompt_price or settings.completion_price
    return {
        "problems asked": f"{len(counts.requested):,}",
        "accepted": f"{len(counts.accepted):,}{share}",
        "requests": f"{counts.requests:,}",
        "including retries": f"{counts.retries:,}",
        "answers": f"{counts.answers:,}",
        **{name: f"{count:,}" for name, count in {**rejected, **failed}.items()},
        "prompt tokens": f"{counts.prompt_tokens:,}",
        "completion tokens": f"{counts.completion_tokens:,}",
        "answers without token counts": f"{counts.without_usage:,}",
        "cost": f"{counts.cost(settings):,.4f}" if priced else "no price set",
    }
