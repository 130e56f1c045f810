"""The commands for the time before a run: its problems, their solutions, its users on Redis."""

from pathlib import Path
from typing import Annotated

import typer

from deploy.commands.arguments import PREPARE, experiment
from deploy.view.screen import screen

commands = typer.Typer()
problems = typer.Typer(help="List and validate problems before a run.", no_args_is_help=True)
commands.add_typer(problems, name="problems", rich_help_panel=PREPARE)

Source = Annotated[
    str, typer.Argument(metavar="SOURCE", help="What problems.source takes, or the folder of a run or of a mining run.")
]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings, such as problems.fields.answer=gold.")
]


@problems.command(
    epilog="Examples:\n\n"
    "  pope problems check data/hard.jsonl --reasons why.jsonl\n\n"
    "  pope problems check rows.parquet problems.fields.statement=question problems.fields.answer=gold\n\n"
    "  pope problems check omni-math problems.levels='[6,10]'"
)
def check(
    source: Source,
    settings: Overrides = None,
    reasons: Annotated[
        Path | None, typer.Option("--reasons", metavar="FILE", help="Where to write the rejected rows and why.")
    ] = None,
) -> None:
    """Load every row, parse every answer, and say what would be trained on and what not."""
    from deploy.jobs.problems import check as run

    run(source, settings or [], reasons, screen())


@problems.command(
    epilog="Examples:\n\n  pope problems show math-500 --limit 5\n\n  pope problems show runs/pope --id chain6-s0-0003"
)
def show(
    source: Source,
    settings: Overrides = None,
    id: Annotated[str | None, typer.Option("--id", metavar="ID", help="Show one problem whole.")] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Problems listed at most.")] = 20,
) -> None:
    """List problems, or show one with its solution and the end of its guidance marked."""
    from deploy.jobs.problems import show as run

    run(source, settings or [], id, limit, screen())


@commands.command(
    rich_help_panel=PREPARE,
    epilog="Examples:\n\n"
    "  pope oracle hard.jsonl --out solved.jsonl oracle.model=Qwen/Qwen3-235B-A22B "
    "oracle.endpoint=http://127.0.0.1:8000/v1\n\n"
    "  pope oracle hard.jsonl --out solved.jsonl oracle.endpoint=https://api.example.com/v1 oracle.model=big "
    "oracle.api_key_env=ORACLE_API_KEY oracle.prompt_price=2.5 oracle.completion_price=10\n\n"
    "The same command goes on where a run was cut off.",
)
def oracle(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Problems, as problems.source names them.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="JSONL file for all problems with solutions.")],
    settings: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Overrides.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew; an older log is kept aside.")] = False,
    redo: Annotated[bool, typer.Option("--redo", help="Ask also for problems that have a solution.")] = False,
) -> None:
    """Ask a strong model for solutions and keep those whose final answer verifies."""
    from conf.load import load

    config = load(None, [f"problems.source={source}", *(settings or [])])
    from deploy.jobs.oracle import oracle as run

    run(config, out, screen(), fresh=fresh, redo=redo)


@commands.command(
    rich_help_panel=PREPARE,
    name="redis-acl",
    epilog="Examples:\n\n"
    "  POPE_BROKER_URL=rediss://:SECRET@redis.example:6380/0 pope redis-acl broker.url=rediss://redis.example:6380/0 "
    "run.name=big | redis-cli -u rediss://admin@redis.example:6380 --askpass\n\n"
    "then train with the same variable, broker.url, run.name and broker.role_users=true",
)
def redis_acl(
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE.yaml] [KEY=VALUE]...", help="The settings of the run.")
    ] = None,
) -> None:
    """Print the commands that give each role of a run a user on your own Redis, fenced into the run's keys."""
    from deploy.store.run_redis import acl_commands

    for command in acl_commands(experiment(settings, [])):
        print(command)
