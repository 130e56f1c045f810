"""Loads the problems of a run, and implements `pope problems`, which shows the content of a source."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from actors.problems.answer_checks import ProgressCallback, check_answers
from actors.problems.catalog import BUILTIN, load_problem_set
from actors.problems.guidance import may_be_guided
from actors.problems.jsonl import write_rejected
from actors.problems.mixture import has_prefix
from actors.problems.problem_set import ProblemSet
from actors.problems.problem_sources import read_source
from actors.problems.reference_answers import answer_kind
from actors.verification.answers import num_unboxed
from broker.errors import UsageError
from broker.records import Problem
from conf.load import load as load_settings
from conf.names import did_you_mean
from conf.plain import plain, plain_lines
from conf.schema import RunConfig
from deploy.run.prompt_measure import with_fitting_prompts
from deploy.view.screen import Screen

GUIDANCE_END = "──── guidance ends here ────"
MAX_STATEMENT_CHARS = 80
"""Longer statements are cut in the list."""


def load_run_problems(config: RunConfig) -> ProblemSet:
    """The problems that a run trains on, with a progress bar on stderr while their answers are parsed."""
    with _progress_bar() as progress:
        return load_problem_set(config.problems, config.run.seed, config.verifier, progress)


def load_all_buckets(config: RunConfig) -> ProblemSet:
    """The problems of every bucket of the source, with a progress bar on stderr while their answers are parsed."""
    with _progress_bar() as progress:
        found = _read(config)
        return check_answers(found, config.verifier, progress) if config.verifier.judge == "math" else found


def oracle_warning(problems: Sequence[Problem]) -> str:
    """The warning for a run that adds oracle solutions to its groups (LUFFY).

    Raises UsageError when no hard problem has a solution.
    """
    hard = [problem for problem in problems if problem.bucket == "hard"]
    solutions = [problem.solution for problem in hard if problem.solution]
    if not solutions:
        raise UsageError(
            "actors.oracle_member=true, but no hard problem has a solution; request solutions with pope oracle, "
            "or set actors.oracle_member=false"
        )
    without, unboxed = len(hard) - len(solutions), num_unboxed(solutions)
    missing = f"; {without} of {len(hard)} hard problems have no solution, their groups stay unchanged"
    unjudged = f"; {unboxed} of {len(solutions)} solutions hold no \\boxed answer and get reward 1 nevertheless"
    return (
        "actors.oracle_member=true (LUFFY): the POPE paper could not make it train stably on hard problems with human "
        f"solutions (section 6); watch entropy and grad norm{missing if without else ''}"
        f"{unjudged if unboxed else ''}"
    )


def check(source: str, overrides: Sequence[str], reasons: Path | None, console: Console) -> dict[str, int]:
    """Print and return counts of the rows of a source. Write the rejected rows to `reasons`, if given."""
    config = _settings(source, overrides)
    problem_set = with_fitting_prompts(config, load_all_buckets(config))
    table = Table("")
    table.add_column("rows", justify="right")
    for name, count in _counts(problem_set):
        table.add_row(name, f"{count}")
    console.print(config.problems.source, markup=False, highlight=False, soft_wrap=True)
    console.print(table)
    if reasons is not None:
        try:
            write_rejected(reasons, problem_set.refused)
        except OSError as error:
            raise UsageError(f"--reasons {reasons}: {error.strerror}; name a file in a writable folder") from error
        console.print(f"{_num_refused(problem_set)} in {reasons}", highlight=False, markup=False)
    elif problem_set.refused:
        told = f"{_num_refused(problem_set)}; --reasons FILE writes all of them, these are the first of each reason:"
        console.print(told, highlight=False, markup=False, soft_wrap=True)
        first = {refused.reason: refused for refused in reversed(problem_set.refused)}
        for reason, refused in sorted(first.items(), key=lambda item: item[1].row):
            example = f"  {reason}: row {refused.row} ({refused.id}): {refused.detail}"
            console.print(example, highlight=False, markup=False, soft_wrap=True)
    return {name.strip(): count for name, count in _counts(problem_set)}


def _num_refused(problem_set: ProblemSet) -> str:
    """`3 rejected rows and 2 dropped solutions`."""
    counts = (len(problem_set.rejected), "rejected row"), (len(problem_set.dropped_solutions), "dropped solution")
    told = [f"{count} {name}{'' if count == 1 else 's'}" for count, name in counts if count or name == "rejected row"]
    return " and ".join(told)


def show(source: str, overrides: Sequence[str], id: str | None, limit: int, console: Console) -> list[Problem]:
    """Print and return the first `limit` problems of a source, or the full text of one. No answer is parsed."""
    config = _settings(source, overrides)
    problem_set = _read(config)
    if id is None:
        console.print(_table(problem_set.problems[:limit]))
        if len(problem_set.problems) > limit:
            console.print(f"{limit} of {len(problem_set.problems)}; --limit N lists more", highlight=False)
        return problem_set.problems[:limit]
    problem = _find(problem_set, id, source)
    for part in _full_text(problem):
        console.print(part, highlight=False, soft_wrap=True)
    return [problem]


def show_prompt(source: str, overrides: Sequence[str], id: str | None, console: Console) -> None:
    """Print the prompt of a problem (None: of the first) as the model gets it, and the tokens that end a response.

    A problem with guidance is shown with it too. Raises UsageError if the model cannot be given the problem.
    """
    from actors.chat_template import PromptFault
    from deploy.run.model_prompts import ModelPrompts
    from deploy.run.model_source import resolve_model

    config = _settings(source, overrides)
    problem_set = _read(config)
    if not problem_set.problems:
        raise UsageError(f"{source}: {problem_set.explain()}")
    problem = problem_set.problems[0] if id is None else _find(problem_set, id, source)
    prompts = ModelPrompts.of(config, resolve_model(config.model))
    for guided in (False, True) if problem.guidance else (False,):
        try:
            text, tokens = prompts.builder.text(problem, guided), len(prompts.builder.ids(problem, guided))
        except PromptFault as fault:
            raise UsageError(f"{source}: problem {problem.id}: {fault}") from fault
        title = f"{problem.id}, {'guided' if guided else 'unguided'}: {tokens} tokens"
        console.print(Text(plain(title), style="bold"))
        console.print(Text(plain_lines(text)), soft_wrap=True)
    for fact in prompts.facts():
        console.print(Text(plain(fact)), soft_wrap=True)


def _find(problem_set: ProblemSet, id: str, source: str) -> Problem:
    """The problem with this id. Raises UsageError if there is none."""
    problem = next((problem for problem in problem_set.problems if problem.id == id), None)
    if problem is not None:
        return problem
    rejected = next((row for row in problem_set.rejected if row.id == id), None)
    if rejected is not None:
        raise UsageError(f"{source}: {id} is row {rejected.row}, rejected as {rejected.reason}: {rejected.detail}")
    hint = did_you_mean(id, (problem.id for problem in problem_set.problems))
    raise UsageError(f"{source}: no problem has the id {id}{hint or '; omit --id to list the problems'}")


def _settings(source: str, overrides: Sequence[str]) -> RunConfig:
    path = Path(source).expanduser()
    if path.is_dir():
        source = str(path / "problems.jsonl")
        if not Path(source).exists():
            raise UsageError(f"{path} holds no problems.jsonl; name the folder of a run, or a file")
    return load_settings(None, [f"problems.source={source}", *overrides])


def _read(config: RunConfig) -> ProblemSet:
    """Every row of the source, of all buckets. No answer is parsed."""
    settings, seed = config.problems, config.run.seed
    if settings.source not in BUILTIN:
        return read_source(settings, seed, verbatim_answers=config.verifier.judge != "math")
    all_arms = {"unguided": 1, "easy": settings.num_easy, "easier": settings.num_easier}
    return load_problem_set(replace(settings, arms=all_arms), seed)


def _counts(problem_set: ProblemSet) -> Iterator[tuple[str, int]]:
    """The rows of the table: (name, number of rows of the source)."""
    problems = problem_set.problems
    yield "in the source", problem_set.num_rows
    yield "loaded", len(problems)
    for reason, count in problem_set.reasons().items():
        yield f"  rejected: {reason}", count
    for fault, count in problem_set.solution_reasons().items():
        yield f"  solutions dropped: {fault}", count
    if cut := problem_set.num_last_questions:
        yield "  without the turns before the last question", cut
    yield "with a solution", sum(problem.solution is not None for problem in problems)
    if unguided := sum(not may_be_guided(problem) for problem in problems if problem.solution):
        yield "  no prefix for guidance", unguided
    if guided := sum(problem.guidance is not None for problem in problems):
        yield "with guidance", guided
    for bucket, count in Counter(problem.bucket for problem in problems).items():
        yield f"bucket: {bucket}", count
    for kind, count in Counter(answer_kind(problem.answer) for problem in problems).most_common():
        yield f"answer: {kind}", count


def _table(problems: Sequence[Problem]) -> Table:
    table = Table()
    table.add_column("id", no_wrap=True)
    for name in ("bucket", "answer", "solution", "guidance", "statement"):
        table.add_column(name)
    for problem in problems:
        guidance = _guided_share_text(problem)
        statement = " ".join(problem.statement.split())
        if len(statement) > MAX_STATEMENT_CHARS:
            statement = statement[: MAX_STATEMENT_CHARS - 1] + "…"
        solution = f"{len(problem.solution)} chars" if problem.solution else "-"
        row = (problem.id, problem.bucket, problem.answer, solution, guidance, statement)
        table.add_row(*row)
    return table


def _guided_share_text(problem: Problem) -> str:
    if problem.guidance is None:
        return "-"
    return f"{_guided_share(problem):.0%}" if has_prefix(problem) else "no prefix"


def _guided_share(problem: Problem) -> float:
    return len(problem.guidance or "") / len(problem.solution) if problem.solution else 0.0


def _full_text(problem: Problem) -> Iterator[Text | str]:
    yield Text(plain(f"{problem.id}  bucket {problem.bucket}  from {problem.source}"), style="bold")
    if problem.system:
        yield f"\nsystem message: {problem.system}"
    yield f"\n{problem.statement}\n"
    yield f"answer: {problem.answer}"
    if problem.guidance is not None and not (problem.solution or "").startswith(problem.guidance):
        yield f"\nguidance, which is not a prefix of the solution:\n\n{problem.guidance}\n\n{GUIDANCE_END}"
        yield f"\nsolution:\n\n{problem.solution or 'none'}"
    elif problem.guidance is not None:
        rest = (problem.solution or "")[len(problem.guidance) :]
        yield f"\nsolution, {_guided_share(problem):.0%} of it guidance:\n"
        new_line = "" if rest.startswith("\n") else "\n"
        guidance, end = (plain_lines(problem.guidance), "green"), (f"\n{GUIDANCE_END}", "bold")
        yield Text.assemble(guidance, end, new_line, plain_lines(rest))
    else:
        yield f"\nsolution:\n\n{problem.solution or 'none'}"


@contextmanager
def _progress_bar() -> Iterator[ProgressCallback]:
    """A bar on stderr if it is a terminal, from the first answer that needs the verifier."""
    columns = (TextColumn("  parse answers"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Screen(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)
