"""The commands that prepare a run: write its settings, check machine and problems, write solutions, set up users."""

from pathlib import Path
from typing import Annotated

import typer

from broker.errors import PopeError, UsageError
from deploy.commands.arguments import (
    PREPARE,
    JsonOption,
    SettingsArgument,
    console_of,
    experiment,
    print_json,
)
from deploy.view.screen import screen

commands = typer.Typer()
problems = typer.Typer(help="List and validate problems before a run.", no_args_is_help=True)
commands.add_typer(problems, name="problems", rich_help_panel=PREPARE)

@commands.command(
    rich_help_panel=PREPARE,
    epilog="Examples:\n\n"
    "  pope init\n\n"
    "  pope init first.yaml --problems my.jsonl --model Qwen/Qwen3-0.6B --hardware gpu1 --steps 200 --name first",
)
def init(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE.yaml]", help="File to write. Default: NAME.yaml.")
    ] = None,
    problems: Annotated[
        str | None, typer.Option("--problems", metavar="SOURCE", help="File, data set, or builtin:tiny.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="MODEL", help="Folder, hub id or builtin:tiny.")
    ] = None,
    hardware: Annotated[
        str | None, typer.Option("--hardware", metavar="NAME", help="Where it runs: a file of conf/hardware.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", metavar="N", min=1, help="Budget in optimizer steps.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Name of the run.")] = None,
) -> None:
    """Write a commented experiment file for pope train. Asks for what no option says."""
    from conf.layers import shipped
    from deploy.jobs.experiment_file import Answers, usual_hardware, usual_model, write_experiment

    problems = problems or _asked("Problems (a file, a data set of the hub, or builtin:tiny)", "builtin:tiny")
    answers = Answers(
        problems=problems,
        model=model or _asked("Model (a folder or a hub id)", usual_model(problems)),
        hardware=hardware or _asked(f"Where it runs ({', '.join(shipped('hardware'))})", usual_hardware()),
        steps=steps or _number(_asked("Budget in optimizer steps", "200")),
        name=name or _asked("Name of the run", file.stem if file else "first"),
    )
    file = file or Path(f"{answers.name}.yaml")
    write_experiment(file, answers)
    console = screen()
    console.print(f"wrote {file}. Next:")
    if not problems.startswith("builtin:"):
        console.print(f"  pope problems check {problems}")
    console.print(f"  pope doctor {file}\n  pope train {file}")


def _asked(question: str, default: str) -> str:
    """The answer from standard input. Raises UsageError when it ends before."""
    try:
        answer: str = typer.prompt(question, default=default)
    except typer.Abort:
        raise UsageError("pope init needs five answers: give them by options (pope init --help)") from None
    return answer


def _number(answer: str) -> int:
    try:
        return int(answer)
    except ValueError:
        raise UsageError(f"{answer} is no number of optimizer steps; give a whole number, such as 200") from None


@commands.command(
    rich_help_panel=PREPARE,
    epilog="Examples:\n\n  pope doctor\n\n  pope doctor first.yaml hardware=gpu\n\n  pope doctor --json | jq .ok",
)
def doctor(settings: SettingsArgument = None, as_json: JsonOption = False) -> None:
    """Check that a run with these settings can work on this machine, and say what to do where it cannot.

    Versions, devices, memory, disks, /dev/shm, Redis, Ray and the model hub. The
    exit code is 1 when something is missing that the run needs.
    """
    config = experiment(settings, [])
    from deploy.jobs.doctor import examine, failures

    findings = examine(config, console_of(as_json))
    wrong = failures(findings)
    if as_json:
        print_json({"ok": wrong is None, "findings": findings})
    if wrong:
        raise PopeError(wrong)


Source = Annotated[
    str, typer.Argument(metavar="SOURCE", help="As in problems.source, or the folder of a run or of a mining run.")
]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings, such as problems.fields.answer=target.")
]


@problems.command(
    epilog="Examples:\n\n"
    "  pope problems check data/hard.jsonl --reasons why.jsonl\n\n"
    "  pope problems check rows.parquet problems.fields.statement=question problems.fields.answer=target\n\n"
    "  pope problems check omni-math problems.levels='[6,10]'"
)
def check(
    source: Source,
    settings: Overrides = None,
    reasons: Annotated[
        Path | None, typer.Option("--reasons", metavar="FILE", help="Write rejected rows, with reasons, to this file.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Load every row, parse every answer, and report which problems can be trained on and why others cannot."""
    from deploy.jobs.problems import check as run

    counts = run(source, settings or [], reasons, console_of(as_json))
    if as_json:
        print_json(counts)


@problems.command(
    epilog="Examples:\n\n  pope problems show math-500 --limit 5\n\n  pope problems show runs/pope --id chain6-s0-0003"
)
def show(
    source: Source,
    settings: Overrides = None,
    id: Annotated[str | None, typer.Option("--id", metavar="ID", help="Show this problem in full.")] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="List at most N problems.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List problems, or show one in full, with the end of its guidance marked in the solution."""
    from deploy.jobs.problems import show as run

    shown = run(source, settings or [], id, limit, console_of(as_json))
    if as_json:
        print_json(shown)


@problems.command(
    epilog="Examples:\n\n"
    "  pope problems prompt gsm8k model.path=Qwen/Qwen3-4B prompts.template_kwargs.enable_thinking=false\n\n"
    "  pope problems prompt my.jsonl --id sum-1 model.path=models/mine prompts.system='Answer in English.'"
)
def prompt(
    source: Source,
    settings: Overrides = None,
    id: Annotated[str | None, typer.Option("--id", metavar="ID", help="This problem. Default: the first.")] = None,
) -> None:
    """Show the prompt of a problem in the chat template of the model, and the tokens that end a response."""
    from deploy.jobs.problems import show_prompt as run

    run(source, settings or [], id, screen())


@commands.command(
    rich_help_panel=PREPARE,
    epilog="Examples:\n\n"
    "  pope oracle hard.jsonl --out solved.jsonl oracle.model=Qwen/Qwen3-235B-A22B "
    "oracle.endpoint=http://127.0.0.1:8000/v1\n\n"
    "  pope oracle hard.jsonl --out solved.jsonl oracle.endpoint=https://api.example.com/v1 oracle.model=big "
    "oracle.api_key_env=ORACLE_API_KEY oracle.prompt_price=2.5 oracle.completion_price=10\n\n"
    "The same command resumes an interrupted one.",
)
def oracle(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Problems, as problems.source names them.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="JSONL file to write: problems with solutions.")],
    settings: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over; the earlier log is renamed.")] = False,
    redo: Annotated[bool, typer.Option("--redo", help="Also request solutions of problems that have one.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Ask a stronger model for oracle solutions, and keep those whose final answer is correct."""
    from conf.load import load

    config = load(None, [f"problems.source={source}", *(settings or [])])
    from deploy.jobs.oracle import oracle as run

    counts = run(config, out, console_of(as_json), fresh=fresh, redo=redo)
    if as_json:
        print_json(counts)


@commands.command(
    rich_help_panel=PREPARE,
    name="redis-acl",
    epilog="Examples:\n\n"
    "  POPE_BROKER_URL=rediss://:SECRET@redis.example:6380/0 pope redis-acl broker.url=rediss://redis.example:6380/0 "
    "run.name=big | redis-cli -u rediss://admin@redis.example:6380 --askpass\n\n"
    "Then train with the same variable, broker.url, run.name and broker.role_users=true.",
)
def redis_acl(
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE.yaml] [KEY=VALUE]...", help="The settings of the run.")
    ] = None,
) -> None:
    """Print the ACL commands that make a user on an external Redis for each role, restricted to the keys of the run."""
    from deploy.store.run_redis import acl_commands

    for command in acl_commands(experiment(settings, [])):
        print(command)
