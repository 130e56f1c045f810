"""The problems of a run, and `pope problems`: what a source holds, before anything is trained on it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from actors.problems import gold_answers as golds
from actors.problems.catalog import BUILTIN, load_problem_set
from actors.problems.problem_set import ProblemSet, write_rejected
from actors.problems.problem_sources import read_source
from actors.verification.answers import num_unboxed
from broker.errors import UsageError
from broker.records import Problem
from conf.load import load as load_settings
from conf.names import did_you_mean
from conf.plain import plain, plain_lines
from conf.schema import RunConfig
from deploy.view.screen import Screen

CUT = "──── guidance ends here ────"
SHOWN_CHARS = 80
"""Of a statement in a list."""


def load(config: RunConfig) -> ProblemSet:
    """The problems of a run, every answer parsed; a bar on stderr while that lasts."""
    with _bar() as progress:
        return load_problem_set(config.problems, config.run.seed, config.verifier, progress)


def load_every_bucket(config: RunConfig) -> ProblemSet:
    """All problems of the settings' source, whichever arm draws them, every answer parsed."""
    with _bar() as progress:
        return golds.check_answers(_read(config), config.verifier, progress)


def oracle_warning(problems: Sequence[Problem]) -> str:
    """What to know before oracle solutions are trained as members of groups (LUFFY). Raises UsageError without any."""
    hard = [problem for problem in problems if problem.bucket == "hard"]
    solutions = [problem.solution for problem in hard if problem.solution]
    if not solutions:
        raise UsageError(
            "actors.oracle_member=true, but no hard problem has a solution; pope oracle writes some, "
            "or set actors.oracle_member=false"
        )
    without, unboxed = len(hard) - len(solutions), num_unboxed(solutions)
    missing = f"; {without} of {len(hard)} hard problems have no solution, their groups stay as they are"
    unjudged = f"; {unboxed} of {len(solutions)} solutions hold no \\boxed answer and get reward 1 all the same"
    return (
        "actors.oracle_member=true (LUFFY): the POPE paper could not make it train stably on hard problems with human "
        f"solutions (section 6); watch entropy and grad norm{missing if without else ''}"
        f"{unjudged if unboxed else ''}"
    )


def check(source: str, overrides: Sequence[str], reasons: Path | None, console: Console) -> None:
    """Print what the rows of a source are, and write the rejected ones to `reasons`."""
    config = _settings(source, overrides)
    found = load_every_bucket(config)
    table = Table("")
    table.add_column("rows", justify="right")
    for name, count in _summary(found):
        table.add_row(name, f"{count}")
    console.print(config.problems.source, markup=False, highlight=False, soft_wrap=True)
    console.print(table)
    if reasons is not None:
        try:
            write_rejected(reasons, found.rejected)
        except OSError as error:
            raise UsageError(f"--reasons {reasons}: {error.strerror}; name a file in a folder you may write") from error
        console.print(f"{len(found.rejected)} rejected rows in {reasons}", highlight=False, markup=False)
    elif found.rejected:
        first = found.rejected[0]
        console.print(
            f"the first: row {first.row} ({first.id}): {first.detail}; --reasons FILE writes all of them",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip


def show(source: str, overrides: Sequence[str], id: str | None, limit: int, console: Console) -> None:
    """Print the first problems of a source, or one of them whole. No answer is parsed."""
    found = _read(_settings(source, overrides))
    if id is None:
        console.print(_listed(found.problems[:limit]))
        if len(found.problems) > limit:
            console.print(f"{limit} of {len(found.problems)}; --limit N lists more", highlight=False)
        return
    problem = next((problem for problem in found.problems if problem.id == id), None)
    if problem is None:
        rejected = next((row for row in found.rejected if row.id == id), None)
        if rejected is not None:
            raise UsageError(f"{source}: {id} is row {rejected.row}, rejected as {rejected.reason}: {rejected.detail}")
        hint = did_you_mean(id, (problem.id for problem in found.problems))
        raise UsageError(f"{source}: no problem has the id {id}{hint or '; leave --id out to list them'}")
    for part in _whole(problem):
        console.print(part, highlight=False, soft_wrap=True)


def _settings(source: str, overrides: Sequence[str]) -> RunConfig:
    path = Path(source).expanduser()
    if path.is_dir():
        source = str(path / "problems.jsonl")
        if not Path(source).exists():
            raise UsageError(f"{path} holds no problems.jsonl; name the folder of a run, or a file")
    return load_settings(None, [f"problems.source={source}", *overrides])


def _read(config: RunConfig) -> ProblemSet:
    """Every row of the source, of all buckets."""
    if config.problems.source != BUILTIN:
        return read_source(config.problems)
    problems = config.problems
    every = replace(problems, arms={"unguided": 1, "easy": problems.num_easy, "easier": problems.num_easier})
    return load_problem_set(every, config.run.seed)


def _summary(found: ProblemSet) -> Iterator[tuple[str, int]]:
    """(what, how many rows), in the order a reader wants them."""
    yield "in the source", found.num_rows
    yield "loaded", len(found.problems)
    for reason, count in found.reasons().items():
        yield f"  rejected: {reason}", count
    yield "with a solution", sum(problem.solution is not None for problem in found.problems)
    if guided := sum(problem.guidance is not None for problem in found.problems):
        yield "with guidance", guided
    for bucket, count in Counter(problem.bucket for problem in found.problems).items():
        yield f"bucket: {bucket}", count
    for kind, count in Counter(golds.kind(problem.answer) for problem in found.problems).most_common():
        yield f"answer: {kind}", count


def _listed(problems: Sequence[Problem]) -> Table:
    table = Table()
    table.add_column("id", no_wrap=True)
    for name in ("bucket", "answer", "solution", "guidance", "statement"):
        table.add_column(name)
    for problem in problems:
        guidance = "-" if problem.guidance is None else f"{_guided_share(problem):.0%}"
        statement = " ".join(problem.statement.split())
        if len(statement) > SHOWN_CHARS:
            statement = statement[: SHOWN_CHARS - 1] + "…"
        solution = f"{len(problem.solution)} chars" if problem.solution else "-"
        row = (problem.id, problem.bucket, problem.answer, solution, guidance, statement)
        table.add_row(*row)
    return table


def _guided_share(problem: Problem) -> float:
    return len(problem.guidance or "") / len(problem.solution) if problem.solution else 0.0


def _whole(problem: Problem) -> Iterator[Text | str]:
    yield Text(plain(f"{problem.id}  bucket {problem.bucket}  from {problem.source}"), style="bold")
    yield f"\n{problem.statement}\n"
    yield f"answer: {problem.answer}"
    if problem.guidance is not None and not (problem.solution or "").startswith(problem.guidance):
        yield f"\nguidance, which is not how the solution begins:\n\n{problem.guidance}\n\n{CUT}"
        yield f"\nsolution:\n\n{problem.solution or 'none'}"
    elif problem.guidance is not None:
        rest = (problem.solution or "")[len(problem.guidance) :]
        yield f"\nsolution, {_guided_share(problem):.0%} of it guidance:\n"
        new_line = "" if rest.startswith("\n") else "\n"
        yield Text.assemble((plain_lines(problem.guidance), "green"), (f"\n{CUT}", "bold"), new_line, plain_lines(rest))
    else:
        yield f"\nsolution:\n\n{problem.solution or 'none'}"


@contextmanager
def _bar() -> Iterator[golds.Progress]:
    """A bar on stderr, in a terminal only; it appears with the first answer that is asked about."""
    columns = (TextColumn("  parse answers"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Screen(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)
