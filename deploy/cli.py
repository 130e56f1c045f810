"""The console command `pope`. Every command ends with 0 when it did what it says, 2 when the input was wrong,
1 when a run failed, 130 or 143 when a signal ended it."""

import logging
import signal
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from broker.errors import PopeError, UsageError
from conf.errors import ConfigError
from conf.plain import PlainFormatter, plain
from conf.schema import RunConfig
from deploy.interrupts import REASON, Interrupted
from deploy.run_folder import RunFolder
from deploy.screen import Screen, screen

app = typer.Typer(
    help="Teach a language model problems it cannot solve yet (POPE).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, live or finished.")]
UrlOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="The run's own Redis, password included; settings.yaml leaves it out. $POPE_BROKER_URL says the same, "
        "unseen by other users of the machine.",
    ),
]
PIPE_COLUMNS = 160
"""Width of a table that is not shown in a terminal."""


@app.command(
    epilog="Examples:\n\n"
    "  pope train\n\n"
    "  pope train conf/experiments/pope.yaml learner.learning_rate=5e-4 run.name=slower\n\n"
    "  pope train experiment=hard hardware=node8 --dry-run"
)
def train(
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE.yaml] [KEY=VALUE]...", help="An experiment file and overrides.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resolved settings and stop.")] = False,
) -> None:
    """Train on hard problems and their guided versions; measure before and after."""
    from conf.load import dump

    config = _experiment(settings, [])
    if dry_run:
        print(dump(config), end="")
        return
    from deploy.train import train as run

    ended = run(config, screen())["ended"]
    if ended.startswith(REASON):
        raise Interrupted(signal.Signals[ended.removeprefix(REASON)])


def _experiment(settings: list[str] | None, defaults: list[str], experiment: str = "pope") -> RunConfig:
    """[FILE.yaml] [KEY=VALUE]... -> settings; `defaults` are overrides that the user's come after, `experiment` is the
    one that is meant when none is named."""
    from conf.load import load

    words = list(settings or [])
    file = Path(words.pop(0)) if words and "=" not in words[0] else None
    if file is None and not any(word.startswith("experiment=") for word in words):
        words.insert(0, f"experiment={experiment}")
    return load(file, [*defaults, *words])


@app.command(
    epilog="Examples:\n\n"
    "  pope sweep paper\n\n"
    "  pope sweep hard hard_easy hard_guide seeds=[0,1,2] run.max_groups=1600 run.name=compare\n\n"
    "  pope sweep paper problems.oracle_style=terse run.name=paper-terse\n\n"
    "  RAY_ADDRESS=http://head:8265 pope sweep paper --jobs 4 hardware=node8 run.root=/shared/runs "
    "broker.url=rediss://head:6380/0\n\n"
    "The same command goes on where a sweep stopped: finished runs are skipped, others resumed."
)
def sweep(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="EXPERIMENT... [seeds=[0,1,2]] [KEY=VALUE]...", help="Experiments, or one sweep of conf/sweeps."
        ),
    ],
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", metavar="N", min=1, help="Submit the runs as jobs to $RAY_ADDRESS, N at once."),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start every run anew; earlier folders are kept under a number.")
    ] = False,
    stop_on_failure: Annotated[
        bool, typer.Option("--stop-on-failure", help="Start no further run once one has failed.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs and stop.")] = False,
) -> None:
    """Run several experiments under several seeds, one after another, with equal budgets."""
    from deploy.sweep.sweep import sweep as run

    console = Screen(width=None if sys.stdout.isatty() else PIPE_COLUMNS)
    run(words, console, jobs=jobs, fresh=fresh, stop_on_failure=stop_on_failure, dry_run=dry_run)


FreshOption = Annotated[bool, typer.Option("--fresh", help="Start anew; the earlier folder is kept under a number.")]


@app.command(
    epilog="Examples:\n\n"
    "  pope mine --guidance\n\n"
    "  pope mine problems.source=dapo-math-17k hardware=node8 --guidance run.name=dapo\n\n"
    "  pope mine problems.source=data/mine.jsonl mining.samples=32 mining.buckets='{hard: [0, 0]}'"
)
def mine(
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE.yaml] [KEY=VALUE]...", help="An experiment file and overrides.")
    ] = None,
    guidance: Annotated[
        bool, typer.Option("--guidance", help="Then search the shortest useful prefix for every hard problem.")
    ] = False,
    fresh: FreshOption = False,
) -> None:
    """Sample problems to find out which are hard for the model; the same command again goes on where it stopped."""
    from deploy.mine import mine as run

    config = _experiment(settings, ["run.name=mine"])
    run(config, screen(), guidance=guidance, fresh=fresh)


@app.command(
    epilog="Examples:\n\n"
    "  pope sft\n\n"
    "  pope sft experiment=sft_prefix run.name=warm --data-only\n\n"
    "  pope sft sft.data=mine.jsonl sft.epochs=1 model.path=Qwen/Qwen3-0.6B run.name=mine\n\n"
    "  pope train experiment=sft_prefix                 SFT first, then RL from its result"
)
def sft(
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE.yaml] [KEY=VALUE]...", help="An experiment file and overrides.")
    ] = None,
    data_only: Annotated[bool, typer.Option("--data-only", help="Write sft.jsonl and stop.")] = False,
    fresh: FreshOption = False,
) -> None:
    """Fine-tune on oracle solutions, on prefix and completion, or on a file; the same command again goes on."""
    from deploy.sft import sft as run

    config = _experiment(settings, ["run.name=sft"], experiment="sft_full_oracle")
    run(config, Screen(soft_wrap=not sys.stdout.isatty()), data_only=data_only, fresh=fresh)


@app.command(
    name="eval",
    epilog="Examples:\n\n"
    "  pope eval runs/pope builtin:tiny\n\n"
    "  pope eval Qwen/Qwen3-4B-Instruct-2507 aime-2025 hmmt-2025 k='[1,16]' n=64 hardware=node8\n\n"
    "  pope eval runs/pope runs/mine data/held_out.jsonl --label 'hard + guide'",
)
def evaluate(
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="A run (its newest checkpoint), a model folder, a hub id.")
    ],
    words: Annotated[
        list[str],
        typer.Argument(metavar="SET... [KEY=VALUE]...", help="Problem sets; k= and n= set evaluation.k and .samples."),
    ],
    label: Annotated[str | None, typer.Option(help="Name of its row in the table; the checkpoint's own name.")] = None,
    fresh: FreshOption = False,
) -> None:
    """Measure pass@k of a checkpoint without any guidance; the same command again goes on where it stopped."""
    from conf.load import load
    from deploy.evaluate import checkpoint_folder, set_name
    from deploy.evaluate import evaluate as run

    sources = [word for word in words if "=" not in word]
    if not sources:
        raise UsageError("name at least one problem set, such as aime-2025, a file, a run folder or builtin:tiny")
    model, run_folder = checkpoint_folder(checkpoint)
    name = set_name(str(run_folder or checkpoint))
    long = {"n": "evaluation.samples", "k": "evaluation.k"}
    overrides = [
        f"{long.get(key, key)}={value}" for key, _, value in (word.partition("=") for word in words if "=" in word)
    ]
    defaults = [f"run.name=eval-{name.lower()}", "run.resume=false", f"model.path={model}"]
    settings = RunFolder(run_folder).settings if run_folder else None
    config = load(settings, [*defaults, *overrides])
    run(config, sources, screen(), label=label or name, fresh=fresh)


@app.command(epilog="Example:\n\n  pope table runs/eval-*/report.json > table.md")
def table(
    reports: Annotated[list[Path], typer.Argument(metavar="FILE...", help="report.json files of pope eval.")],
) -> None:
    """Merge evaluations into the table of the paper: a row a checkpoint, in Markdown."""
    from deploy.eval_tables import read_reports, to_markdown

    print(to_markdown(read_reports(reports)), end="")


@app.command(
    epilog="Examples:\n\n"
    "  pope report runs/pope\n\n"
    "  pope report runs/hard-s0 runs/hard-s1 runs/hard_guide-s0 runs/hard_guide-s1 --out docs/comparison\n\n"
    "  pope report runs/sweep --rollouts 10"
)
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Folders of runs, live or finished, or a folder that holds some."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where to write it.")] = Path("report"),
    rollouts: Annotated[
        int, typer.Option("--rollouts", metavar="N", min=0, help="Problems of each experiment shown with rollouts.")
    ] = 5,
    url: UrlOption = None,
) -> None:
    """Draw runs as one self-contained page, with every figure as PNG and CSV. NAME-s0, NAME-s1 are seeds of NAME."""
    from deploy.report.report import report as run

    run(runs, out, Screen(soft_wrap=not sys.stdout.isatty()), url=url, num_rollouts=rollouts)


@app.command(
    epilog="Examples:\n\n"
    "  pope audit runs/pope\n\n"
    "  POPE_BROKER_URL=rediss://:PASSWORD@host:6380/0 pope audit runs/pope"
)
def audit(run: RunArgument, url: UrlOption = None) -> None:
    """Check a run's promises: every group ends once, none is trained twice, weights never go back, memory is bounded.

    Compares what each role wrote down (history/), what Redis holds and counts, and the checkpoints' manifests.
    """
    from deploy.audit.command import audit as check

    found = check(run, url)
    print(found.explain())
    if found.violation:
        raise PopeError(f"{run}: {found.violation}")


@app.command(
    epilog="Examples:\n\n"
    "  pope starvation runs/pope\n\n"
    "  pope starvation runs/pope --arm unguided\n\n"
    "  pope starvation runs/pope --json | jq 'map(.ended.replaced) | add'"
)
def starvation(
    run: RunArgument,
    arm: Annotated[str | None, typer.Option(help="Only the rows of this arm.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Numbers instead of shares, for programs.")] = False,
    url: UrlOption = None,
) -> None:
    """Show what became of every rollout by bucket, arm and length: whether the long ones are lost on the way."""
    from broker.starvation import explain
    from deploy.starvation import read_starvation, select, table, to_json

    rows = select(read_starvation(run, url), arm)
    if as_json:
        print(to_json(rows).decode(), end="")
        return
    console = Screen(width=None if sys.stdout.isatty() else PIPE_COLUMNS)
    console.print(table(rows, run.resolve().name))
    console.print(f"  {explain(rows)}", highlight=False)


@app.command(
    epilog="Examples:\n\n"
    "  pope ledger runs/pope\n\n"
    "  pope ledger runs/pope --arm unguided --sort recent --limit 20\n\n"
    "  pope ledger runs/pope --json | jq .transfer.guided_first"
)
def ledger(
    run: RunArgument,
    arm: Annotated[str | None, typer.Option(help="Only the rows of this arm.")] = None,
    sort: Annotated[
        Literal["problem", "rate", "attempts", "first-solve", "recent"],
        typer.Option(help="rate, recent: least solved first. attempts: most tried first. first-solve: earliest first."),
    ] = "problem",
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many rows.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="All that is known, for programs.")] = False,
    url: UrlOption = None,
) -> None:
    """Show what became of every problem under every arm, and what guidance carried over to the unguided problem."""
    from broker.transfer import explain
    from deploy.ledger import read_ledger, select, table, to_json

    whole = read_ledger(run, url)
    shown = select(whole, arm=arm, order=sort, limit=limit)
    if as_json:
        print(to_json(shown, whole).decode(), end="")
        return
    console = Screen(width=None if sys.stdout.isatty() else PIPE_COLUMNS)
    console.print(table(shown))
    if len(shown.rows) < len(whole.rows):
        console.print(f"  {len(shown.rows)} of {len(whole.rows)} rows", highlight=False)
    if whole.transfer is not None:
        console.print(f"  {explain(whole.transfer.counts())}", highlight=False)


RunsArgument = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[RUN]...", help="Run folders, or folders of runs; runs/ unless --url names a Redis."),
]


@app.command(
    epilog="Examples:\n\n"
    "  pope dashboard runs/pope\n\n"
    "  pope dashboard runs --port 0\n\n"
    "  POPE_DASHBOARD_TOKEN=... pope dashboard runs/pope --host 192.168.1.5\n\n"
    "  pope dashboard --url rediss://reader:PASSWORD@host:6380/0"
)
def dashboard(
    runs: RunsArgument = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; anywhere but on this machine viewers need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8600,
    url: UrlOption = None,
) -> None:
    """Show runs in the browser, live or finished: what they learn, where the pipeline waits, what the model writes."""
    from deploy.dashboard.serve import dashboard as run

    paths = runs or ([] if url else [Path("runs")])
    run(paths, url, host, port, screen())


@app.command(epilog="Examples:\n\n  pope watch runs/pope\n\n  pope watch runs/pope --once | head")
def watch(
    run: RunArgument,
    once: Annotated[bool, typer.Option("--once", help="Show one picture and stop.")] = False,
    url: UrlOption = None,
) -> None:
    """Show the essentials of a run in the terminal, until it has ended."""
    from deploy.dashboard.sources import FolderSource
    from deploy.dashboard.terminal import watch as show

    show(FolderSource(run, url), Screen(), once=once)


@app.command(
    epilog="Examples:\n\n"
    "  pope export runs/pope --to tensorboard\n\n"
    "  pope export runs/pope --to wandb --out exports/pope"
)
def export(
    run: RunArgument,
    to: Annotated[Literal["tensorboard", "wandb"], typer.Option("--to", help="What to write.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="FOLDER", help="RUN/tensorboard, RUN/wandb.")] = None,
    url: UrlOption = None,
) -> None:
    """Write the numbers of every step for TensorBoard or Weights & Biases."""
    from deploy.dashboard.exporting import export as write
    from deploy.dashboard.sources import FolderSource

    source = FolderSource(run, url)
    source.open()
    source.close()
    folder = out or run / to
    print(f"{write(source.model, to, folder)} steps in {folder}")


@app.command(
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
    from deploy.run_redis import acl_commands

    for command in acl_commands(_experiment(settings, [])):
        print(command)


@app.command(
    epilog="Examples:\n\n"
    "  pope replay runs/pope\n\n"
    "  pope replay runs/pope --from-step 125 --to 150\n\n"
    "  pope replay runs/pope --from-step 125 learner.policy_loss=ppo_clip --out runs/ppo-clip-from-125"
)
def replay(
    run: RunArgument,
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings of the learner to try instead.")
    ] = None,
    from_step: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Step whose weights it begins with; the oldest possible.")
    ] = None,
    to: Annotated[int | None, typer.Option(min=1, metavar="M", help="Last step trained; the newest recorded.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="New folder for the weights under other settings.")
    ] = None,
    url: UrlOption = None,
) -> None:
    """Train the batches a run recorded again, the learner alone. The run itself is only read.

    With the run's own settings the result must be the run's, bit for bit on a CPU. With others it shows what another
    objective does with the same data. Batches are recorded from the oldest kept checkpoint on.
    """
    from deploy.replay import replay as again

    console = Screen(width=None if sys.stdout.isatty() else PIPE_COLUMNS)
    again(run, settings or [], first=from_step, last=to, out=out, url=url, console=console)


problems = typer.Typer(help="List and validate problems before a run.", no_args_is_help=True)
app.add_typer(problems, name="problems")

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
    from deploy.problems import check as run

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
    from deploy.problems import show as run

    run(source, settings or [], id, limit, screen())


@app.command(
    epilog="Examples:\n\n"
    "  pope oracle hard.jsonl --out solved.jsonl oracle.model=Qwen/Qwen3-235B-A22B "
    "oracle.endpoint=http://127.0.0.1:8000/v1\n\n"
    "  pope oracle hard.jsonl --out solved.jsonl oracle.endpoint=https://api.example.com/v1 oracle.model=big "
    "oracle.api_key_env=ORACLE_API_KEY oracle.prompt_price=2.5 oracle.completion_price=10\n\n"
    "The same command goes on where a run was cut off."
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
    from deploy.oracle import oracle as run

    run(config, out, screen(), fresh=fresh, redo=redo)


def main() -> None:
    """Run a command; errors made for people are one line."""
    notes = logging.StreamHandler()
    notes.setFormatter(PlainFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[notes])
    try:
        code = app(standalone_mode=False)  # a number when Ctrl-C came before a run had its own handlers
    except (UsageError, ConfigError) as error:
        _fail(str(error), 2)
    except typer.TyperException as error:
        _fail(error.format_message(), 2)  # names the option, which str(error) does not
    except Interrupted as error:
        _fail(str(error), error.exit_code)
    except PopeError as error:
        _fail(str(error), 1)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted", 128 + signal.SIGINT)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> None:
    print(f"pope: {plain(message)}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
