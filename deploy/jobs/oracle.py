"""`pope oracle`: problems -> the same problems with verified solutions, from settings to the closing table.

FILE holds all problems and is written whole when the run ends, by Ctrl-C too. FILE.attempts.jsonl holds every request
and how it ended, is written as it happens, and is what the same command goes on from.
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
from actors.problems.oracle.cost import Tally
from actors.problems.oracle.requests import Oracle
from actors.verification.verifier import VerifierPool
from broker.errors import UsageError
from broker.records import Problem
from conf.schema import OracleSettings, RunConfig
from deploy.cluster.interrupts import Interrupted
from deploy.view.screen import Screen

LINE_EVERY_S = 10.0


def oracle(config: RunConfig, out: Path, console: Console, *, fresh: bool = False, redo: bool = False) -> None:
    """Ask for every problem without a solution (`redo`: for every problem), write `out`, print what it took.

    Raises what ended the run early, after the output was written.
    """
    settings = config.oracle
    if settings.model is None:
        raise UsageError("oracle.model is not set; give oracle.model=NAME, the model's name at the endpoint")
    key = _api_key(settings.api_key_env)
    attempts_path = out.with_name(f"{out.name}.attempts.jsonl")
    _check_out(out, attempts_path, config.problems.source, fresh=fresh)
    # All of the source comes out again, and an arm that needs solutions would ask for what is to be made.
    every_bucket = {arm: 1 for arm in ARM_BUCKET if arm != "guided"}
    problems = load_problems(replace(config.problems, arms=every_bucket, limit={}), config.run.seed)
    wanted = [problem for problem in problems if redo or problem.solution is None]
    header = Header(model=settings.model, source=config.problems.source, problems=fingerprint(problems))
    start = time.monotonic()
    with AttemptLog(attempts_path, header, fresh=fresh) as log:
        asked = asyncio.run(_ask(config, key, wanted, log))
        _write(out, [_with_solution(problem, asked.solutions.get(problem.id)) for problem in problems])
    _print_summary(console, settings, asked, problems, wanted, time.monotonic() - start)
    where = f"  {len(problems)} problems are in {out}, every attempt in {attempts_path}"
    console.print(where, markup=False, highlight=False)
    if asked.ended_by is not None:
        raise asked.ended_by


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
            f"oracle.api_key_env={variable}: that environment variable holds spaces, line ends or characters that no "
            "key has; set it again"
        )
    return key


def _check_out(out: Path, attempts: Path, source: str, *, fresh: bool) -> None:
    if out.is_dir():
        raise UsageError(f"--out {out} is a folder; name a file in it")
    if out.exists() and Path(source).expanduser().exists() and out.samefile(Path(source).expanduser()):
        raise UsageError(f"--out {out} is the source itself, whose other fields would be lost; choose another file")
    if out.exists() and not attempts.exists() and not fresh:
        raise UsageError(f"--out {out} exists and {attempts} does not; choose another file, or replace it with --fresh")


async def _ask(config: RunConfig, key: str | None, wanted: Sequence[Problem], log: AttemptLog) -> Oracle:
    from actors.problems.oracle.endpoint import Endpoint  # a second to import; the input was checked before

    endpoint = Endpoint(config.oracle, key)
    verifier = VerifierPool(config.verifier)
    loop = asyncio.get_running_loop()
    asking = Oracle(config.oracle, ask=endpoint.ask, judge=verifier.judge, record=log.append, earlier=log.earlier)
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, _end, asking, loop, number)
        with _progress(len(asking.open(wanted))) as show:
            await asking.solve(wanted, done=lambda: show(asking.now))
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        verifier.close()
        await endpoint.close()
    return asking


def _end(asking: Oracle, loop: asyncio.AbstractEventLoop, number: signal.Signals) -> None:
    """The first signal ends the run in order; the next of its kind ends it now."""
    loop.remove_signal_handler(number)
    asking.stop(Interrupted(number))


@contextmanager
def _progress(total: int) -> Iterator[Callable[[Tally], None]]:
    """On stderr: a bar where there is a terminal, a line every few seconds elsewhere. Call it for each problem done."""
    console = Screen(stderr=True, soft_wrap=not sys.stderr.isatty())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    name = TextColumn("  {task.description}", markup=False)
    columns = (name, BarColumn(), MofNCompleteColumn(), *times)
    next_line, num_done = time.monotonic() + LINE_EVERY_S, 0
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("asking", total=total)

        def show(now: Tally) -> None:
            nonlocal next_line, num_done
            num_done += 1
            said = f"{len(now.accepted)} accepted, {now.errors.total()} failed requests"
            bar.update(task, completed=num_done, description=said)
            if not console.is_terminal and time.monotonic() >= next_line:
                next_line = time.monotonic() + LINE_EVERY_S
                console.print(f"  {num_done}/{total} problems · {said}", highlight=False)

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
            f"--out {path}: {error.strerror}; make room or choose another file: no answer is lost, the same command "
            "writes it again"
        ) from error


def _print_summary(
    console: Console,
    settings: OracleSettings,
    asked: Oracle,
    problems: Sequence[Problem],
    wanted: Sequence[Problem],
    wall_s: float,
) -> None:
    """What was asked, what came of it and what it cost: in this run, and with earlier runs of the same log."""
    table = Table(title=f"oracle solutions by {settings.model}", title_justify="left")
    table.add_column("")
    table.add_column("this run", justify="right")
    table.add_column("in all", justify="right")
    columns = (_facts(asked.now, settings), _facts(asked.in_all, settings))
    for name in columns[1]:  # holds every name: what this run counted is counted in all
        table.add_row(name, *(facts.get(name, "0") for facts in columns))
    table.add_row("wall time", f"{wall_s:.1f} s", "")
    console.print(table)
    num_open = len(asked.open(wanted))
    given_up = len(wanted) - num_open - sum(problem.id in asked.solutions for problem in wanted)
    console.print(
        f"  {len(problems) - len(wanted)} problems were not asked (they have a solution), {given_up} took all "
        f"{settings.max_attempts} attempts in vain, {num_open} are left for another run",
        highlight=False,
    )


def _facts(tally: Tally, settings: OracleSettings) -> dict[str, str]:
    share = f" ({len(tally.accepted) / len(tally.asked):.0%})" if tally.asked else ""
    rejected = {f"rejected: {name}": count for name, count in sorted(tally.verdicts.items()) if name != "correct"}
    failed = {f"failed: {name}": count for name, count in sorted(tally.errors.items())}
    priced = settings.prompt_price or settings.completion_price
    return {
        "problems asked": f"{len(tally.asked):,}",
        "accepted": f"{len(tally.accepted):,}{share}",
        "requests": f"{tally.requests:,}",
        "of them retries": f"{tally.retries:,}",
        "answers": f"{tally.answers:,}",
        **{name: f"{count:,}" for name, count in {**rejected, **failed}.items()},
        "prompt tokens": f"{tally.prompt_tokens:,}",
        "completion tokens": f"{tally.completion_tokens:,}",
        "answers without token counts": f"{tally.without_usage:,}",
        "cost": f"{tally.cost(settings):,.4f}" if priced else "no price set",
    }
