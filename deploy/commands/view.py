"""The commands that read runs, running or finished, without changing them."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from broker.errors import PopeError
from conf.schema import LoggerName
from deploy.commands.arguments import LOOK, JsonOption, RunArgument, UrlOption, console_of, print_json
from deploy.view.screen import Screen, screen, table_screen

commands = typer.Typer()


@commands.command(
    rich_help_panel=LOOK,
    epilog="Examples:\n\n"
    "  pope report runs/pope\n\n"
    "  pope report runs/hard-s0 runs/hard-s1 runs/hard_guide-s0 runs/hard_guide-s1 --out docs/comparison\n\n"
    "  pope report runs/sweep --rollouts 10",
)
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Folders of runs, running or finished, or a folder that holds runs."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Folder to write the page to.")] = Path("report"),
    rollouts: Annotated[
        int, typer.Option("--rollouts", metavar="N", min=0, help="Problems per experiment whose rollouts are shown.")
    ] = 5,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a self-contained page about runs, with figures as PNG and CSV. NAME-s0, NAME-s1 are seeds of NAME."""
    from deploy.report.build import report as run

    page = run(runs, out, console_of(as_json), url=url, num_rollouts=rollouts)
    if as_json:
        print_json({"page": str(page)})


@commands.command(
    rich_help_panel=LOOK,
    epilog="Examples:\n\n  pope watch runs/pope\n\n  pope watch runs/pope --once | head",
)
def watch(
    run: RunArgument,
    once: Annotated[bool, typer.Option("--once", help="Print the state once and exit.")] = False,
    url: UrlOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the state once as JSON and exit.")] = False,
) -> None:
    """Show the key figures of a run in the terminal until it has ended."""
    from deploy.dashboard.run_sources import FolderSource
    from deploy.dashboard.terminal import watch as show

    source = FolderSource(run, url)
    if as_json:
        source.open()
        source.close()
        print_json(source.model.live(source.away))
        return
    show(source, Screen(), once=once)


RunsArgument = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[RUN]...", help="Run folders, or folders of runs. Default: runs, unless --url is given."),
]


@commands.command(
    rich_help_panel=LOOK,
    epilog="Examples:\n\n"
    "  pope dashboard runs/pope\n\n"
    "  pope dashboard runs --port 0\n\n"
    "  POPE_DASHBOARD_TOKEN=... pope dashboard runs/pope --host 192.168.1.5\n\n"
    "  pope dashboard --url rediss://reader:PASSWORD@host:6380/0",
)
def dashboard(
    runs: RunsArgument = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on. On any but a loopback address viewers need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free one.")] = 8600,
    url: UrlOption = None,
) -> None:
    """Serve a page about runs, running or finished: learning curves, the state of the pipeline, rollouts."""
    from deploy.dashboard.serve import dashboard as run

    paths = runs or ([] if url else [Path("runs")])
    run(paths, url, host, port, screen())


@commands.command(
    rich_help_panel=LOOK,
    epilog="Examples:\n\n"
    "  pope ledger runs/pope\n\n"
    "  pope ledger runs/pope --arm unguided --sort recent --limit 20\n\n"
    "  pope ledger runs/pope --json | jq .transfer.guided_first",
)
def ledger(
    run: RunArgument,
    arm: Annotated[str | None, typer.Option(help="Show only the rows of this arm.")] = None,
    sort: Annotated[
        Literal["problem", "rate", "attempts", "first-solve", "recent"],
        typer.Option(help="rate, recent: least solved first. attempts: most first. first-solve: earliest first."),
    ] = "problem",
    limit: Annotated[int | None, typer.Option(min=1, help="Show at most this many rows.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all fields as JSON.")] = False,
    url: UrlOption = None,
) -> None:
    """Show attempts and successes of every problem under every arm, and the transfer from guided to unguided."""
    from deploy.statistics.transfer import explain
    from deploy.store.ledger_file import to_json
    from deploy.store.run_view import RunView
    from deploy.view.ledger_table import select, table

    with RunView(run, url) as view:
        whole = view.ledger()
    shown = select(whole, arm=arm, order=sort, limit=limit)
    if as_json:
        print(to_json(shown, whole).decode(), end="")
        return
    console = table_screen()
    console.print(table(shown))
    if len(shown.rows) < len(whole.rows):
        console.print(f"  {len(shown.rows)} of {len(whole.rows)} rows", highlight=False)
    if whole.transfer is not None:
        console.print(f"  {explain(whole.transfer.counts())}", highlight=False)


@commands.command(
    rich_help_panel=LOOK,
    epilog="Examples:\n\n"
    "  pope starvation runs/pope\n\n"
    "  pope starvation runs/pope --arm unguided\n\n"
    "  pope starvation runs/pope --json | jq 'map(.ended.replaced) | add'",
)
def starvation(
    run: RunArgument,
    arm: Annotated[str | None, typer.Option(help="Show only the rows of this arm.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print counts as JSON instead of shares.")] = False,
    url: UrlOption = None,
) -> None:
    """Show how rollouts ended, by bucket, arm and length: whether long ones are lost before training."""
    from deploy.statistics.starvation import explain
    from deploy.store.run_view import RunView
    from deploy.store.starvation_file import to_json
    from deploy.view.starvation_table import select, table

    with RunView(run, url) as view:
        rows = select(view.starvation(), arm)
    if as_json:
        print(to_json(rows).decode(), end="")
        return
    console = table_screen()
    console.print(table(rows, run.resolve().name))
    console.print(f"  {explain(rows)}", highlight=False)


@commands.command(
    rich_help_panel=LOOK,
    epilog="Examples:\n\n"
    "  pope audit runs/pope\n\n"
    "  POPE_BROKER_URL=rediss://:PASSWORD@host:6380/0 pope audit runs/pope",
)
def audit(run: RunArgument, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Check a run: every group ends once, none is trained twice, policy versions never decrease, memory is bounded.

    Also judges what it achieved: engine and learner agree, the policy did not collapse, every arm reaches the learner.

    Compares the histories of the roles (history/), the state and counters in
    Redis, and the manifests of the checkpoints.
    """
    from deploy.audit.command import audit as check

    found = check(run, url)
    wrong = found.violation or found.bad_outcome
    if as_json:
        print_json(
            {
                "holds": not wrong, "violation": found.violation, "bad_outcome": found.bad_outcome,
                "findings": found.findings, "outcomes": found.outcomes,
            }
        )  # fmt: skip
    else:
        print(found.explain())
    if wrong:
        raise PopeError(f"{run}: {wrong}")


@commands.command(
    rich_help_panel=LOOK,
    epilog="Examples:\n\n"
    "  pope replay runs/pope\n\n"
    "  pope replay runs/pope --from-step 125 --to 150\n\n"
    "  pope replay runs/pope --from-step 125 learner.policy_loss=ppo_clip --out runs/ppo-clip-from-125",
)
def replay(
    run: RunArgument,
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings of the learner that differ.")
    ] = None,
    from_step: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Start from the weights of step N. Default: the oldest.")
    ] = None,
    to: Annotated[int | None, typer.Option(min=1, metavar="M", help="Train up to step M. Default: the newest.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="New folder for the weights when settings are replaced.")
    ] = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train the recorded batches of a run again, with the learner alone. The run itself is only read.

    With the run's own settings the result is compared with the run's; on a CPU
    both must be bit-identical. Other settings show what another objective does
    with the same data. Batches are recorded from the oldest existing checkpoint on.
    """
    from deploy.jobs.replay import replay as run_replay

    console = console_of(as_json, table_screen)
    compared = run_replay(run, settings or [], first=from_step, last=to, out=out, url=url, console=console)
    if as_json:
        print_json(
            {
                "first": compared.plan.first,
                "last": compared.plan.last,
                "changed": compared.changed,
                "differing_steps": compared.differing(),
                "digest": compared.digest,
                "expected_digest": compared.expected,
            }
        )


@commands.command(
    rich_help_panel=LOOK,
    epilog="Examples:\n\n"
    "  pope export runs/pope --to tensorboard\n\n"
    "  WANDB_MODE=offline pope export runs/pope --to wandb --out exports/pope",
)
def export(
    run: RunArgument,
    to: Annotated[LoggerName, typer.Option("--to", help="Where to write.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="Default: RUN/LOGGER, where deploy.loggers writes, too."),
    ] = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write every number of every step to a logger, under the names of metrics/*.jsonl.

    Steps that it has already, by an earlier export or by deploy.loggers, are not
    written again. The project is $WANDB_PROJECT, $MLFLOW_EXPERIMENT_NAME or pope-rl.
    """
    from deploy.loggers.export import export as write
    from deploy.store.run_view import RunView

    folder = out or run / to
    with RunView(run, url) as view:
        steps = write(view, to, folder)
    if as_json:
        print_json({"steps": steps, "folder": str(folder)})
    else:
        print(f"{steps} steps in {folder}")


@commands.command(rich_help_panel=LOOK, epilog="Example:\n\n  pope table runs/eval-*/report.json > table.md")
def table(
    reports: Annotated[list[Path], typer.Argument(metavar="FILE...", help="report.json files that pope eval wrote.")],
    as_json: JsonOption = False,
) -> None:
    """Merge evaluations into one Markdown table with a row for each checkpoint, as in the paper."""
    from deploy.view.evaluation_tables import read_reports, to_json, to_markdown

    rows = read_reports(reports)
    print(to_json(rows).decode() if as_json else to_markdown(rows), end="")
