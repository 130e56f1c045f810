"""The commands that make a run: train, plan, sweep, mine, sft, eval."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from broker.errors import UsageError
from conf.plain import plain
from conf.schema import RunConfig
from deploy.cluster.interrupts import REASON, Interrupted
from deploy.commands.arguments import (
    RUN,
    FreshOption,
    FromOption,
    JsonOption,
    SettingsArgument,
    console_of,
    experiment,
    experiment_with_a_model,
    print_json,
)
from deploy.store.run_folder import RunFolder
from deploy.view.screen import table_screen

commands = typer.Typer()


@commands.command(
    rich_help_panel=RUN,
    epilog="Examples:\n\n"
    "  pope train\n\n"
    "  pope train conf/experiments/pope.yaml learner.learning_rate=5e-4 run.name=slower\n\n"
    "  pope train --from runs/mine\n\n"
    "  pope train experiment=hard hardware=node8 --dry-run",
)
def train(
    settings: SettingsArgument = None,
    source: FromOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the settings and the plan, and exit.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train on hard problems and their guided versions, and measure pass@k before and after.

    Starts and stops Redis, Ray and every role. Writes to run.root/run.name.
    Ctrl-C saves a checkpoint and ends the run; run.resume=true continues it.
    """
    from conf.load import dump, explain_defaults
    from deploy.store.provenance import carried, check_provenance

    if dry_run:
        config = experiment(settings, carried(source))
        if as_json:
            print_json(config)
            return
        if reason := explain_defaults(config):
            print(f"# {reason}")
        print(dump(config), end="")
        _print_plan(config)
        return
    config = experiment_with_a_model(settings, carried(source))
    check_provenance(config)
    from deploy.jobs.train import train as run

    summary = run(config, console_of(as_json))
    if as_json:
        print_json(summary)
    ended = summary["ended"]
    if ended.startswith(REASON):
        raise Interrupted(signal.Signals[ended.removeprefix(REASON)])


def _print_plan(config: RunConfig) -> None:
    """The plan as comments below the settings, or why there is none."""
    from deploy.plan.plan_table import plan_lines
    from deploy.plan.run_plan import plan_run

    try:
        lines = list(plan_lines(plan_run(config)))
    except UsageError as error:
        lines = [f"no plan: {error}"]
    for line in lines:
        print(f"# {plain(line)}")


@commands.command(
    rich_help_panel=RUN,
    epilog="Examples:\n\n"
    "  pope plan hardware=node8\n\n"
    "  pope plan model.path=Qwen/Qwen3-8B problems.source=my.jsonl hardware=node8 plan.gpu=h200-141gb\n\n"
    "  pope plan experiment=hard hardware=node8 plan.mfu=0.3 plan.length_share=0.3 --json",
)
def plan(settings: SettingsArgument = None, source: FromOption = None, as_json: JsonOption = False) -> None:
    """Estimate what a run will take: memory, speed, hours of each stage, disk, lag; and propose a split of the GPUs.

    Arithmetic from settings, model sizes and data sheets (docs/plan.md): nothing is started and nothing measured.
    """
    from deploy.plan.plan_table import plan_json, print_plan
    from deploy.plan.run_plan import plan_run
    from deploy.store.provenance import carried

    planned = plan_run(experiment(settings, carried(source)))
    if as_json:
        print_json(plan_json(planned))
    else:
        print_plan(table_screen(), planned)


@commands.command(
    rich_help_panel=RUN,
    epilog="Examples:\n\n"
    "  pope sweep paper\n\n"
    "  pope sweep hard hard_easy hard_guide seeds=[0,1,2] run.max_groups=1600 run.name=compare\n\n"
    "  pope sweep terse seeds=[0,1] --at-once 2\n\n"
    "  RAY_ADDRESS=http://head:8265 pope sweep paper --jobs 4 hardware=node8 run.root=/shared/runs "
    "broker.url=rediss://head:6380/0\n\n"
    "The same command resumes a sweep: finished runs are skipped, unfinished ones resumed.",
)
def sweep(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="EXPERIMENT... [seeds=[0,1,2]] [KEY=VALUE]...",
            help="Experiments (conf/experiments) or one sweep (conf/sweeps), by name or file.",
        ),
    ],
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", metavar="N", min=1, help="Submit the runs as jobs to $RAY_ADDRESS, N at once."),
    ] = None,
    at_once: Annotated[
        int, typer.Option("--at-once", metavar="N", min=1, help="Number of runs at the same time on this machine.")
    ] = 1,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start every run over; earlier folders are renamed to NAME.1, ...")
    ] = False,
    stop_on_failure: Annotated[
        bool, typer.Option("--stop-on-failure", help="Start no further run after one has failed.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs and exit.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train several experiments under several seeds with equal budgets, and print a table of their results."""
    from deploy.sweep.command import sweep as run

    console = console_of(as_json, table_screen)
    found = run(
        words, console, jobs=jobs, at_once=at_once, fresh=fresh, stop_on_failure=stop_on_failure, dry_run=dry_run
    )
    if as_json:
        print_json(found)


@commands.command(
    rich_help_panel=RUN,
    epilog="Examples:\n\n"
    "  pope mine --guidance\n\n"
    "  pope mine problems.source=dapo-math-17k hardware=node8 --guidance run.name=dapo\n\n"
    "  pope mine problems.source=data/mine.jsonl mining.samples=32 mining.buckets='{hard: [0, 0]}'",
)
def mine(
    settings: SettingsArgument = None,
    guidance: Annotated[
        bool, typer.Option("--guidance", help="Also search for the shortest useful guidance of every hard problem.")
    ] = False,
    fresh: FreshOption = False,
    as_json: JsonOption = False,
) -> None:
    """Sample problems to find out which are hard for the model. The same command resumes its work."""
    from deploy.jobs.mine import mine as run

    config = experiment_with_a_model(settings, ["run.name=mine"])
    summary = run(config, console_of(as_json), guidance=guidance, fresh=fresh)
    if as_json:
        print_json(summary)


@commands.command(
    rich_help_panel=RUN,
    epilog="Examples:\n\n"
    "  pope sft\n\n"
    "  pope sft experiment=sft_prefix run.name=warm --data-only\n\n"
    "  pope sft sft.data=mine.jsonl sft.epochs=1 model.path=Qwen/Qwen3-0.6B run.name=mine\n\n"
    "  pope train experiment=sft_prefix                 # SFT first, then RL from its result",
)
def sft(
    settings: SettingsArgument = None,
    source: FromOption = None,
    data_only: Annotated[bool, typer.Option("--data-only", help="Write the demonstrations and exit.")] = False,
    fresh: FreshOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fine-tune on oracle solutions, prefixes with completions, or a file. The same command resumes its work."""
    from deploy.jobs.sft import sft as run
    from deploy.store.provenance import carried, check_provenance

    config = experiment_with_a_model(settings, ["run.name=sft", *carried(source)], "sft_full_oracle")
    check_provenance(config)
    made = run(config, console_of(as_json), data_only=data_only, fresh=fresh)
    if as_json:
        print_json({"demonstrations" if data_only else "model": str(made)})


@commands.command(
    rich_help_panel=RUN,
    name="eval",
    epilog="Examples:\n\n"
    "  pope eval runs/pope builtin:tiny\n\n"
    "  pope eval Qwen/Qwen3-4B-Instruct-2507 aime-2025 hmmt-2025 k='[1,16]' n=64 hardware=node8\n\n"
    "  pope eval runs/pope runs/mine data/held_out.jsonl --label 'hard + guide'\n\n"
    "  pope eval https://api.example.com/v1#big aime-2025 evaluation.endpoint_key_env=MODEL_KEY n=4",
)
def evaluate(
    checkpoint: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT",
            help="A run (its newest checkpoint), a model folder, a hub id, or URL#MODEL of an OpenAI endpoint.",
        ),
    ],
    words: Annotated[
        list[str],
        typer.Argument(metavar="SET... [KEY=VALUE]...", help="Problem sets. k=, n=: evaluation.k, evaluation.samples."),
    ],
    label: Annotated[str | None, typer.Option(help="Name of the table row. Default: the checkpoint's name.")] = None,
    lm_eval: Annotated[
        Path | None,
        typer.Option("--lm-eval", metavar="FOLDER", help="Also write the sets as tasks of lm-evaluation-harness."),
    ] = None,
    fresh: FreshOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure pass@k of a checkpoint, without guidance, on problem sets. The same command resumes its work."""
    from conf.load import load
    from deploy.jobs.evaluate import checkpoint_folder, set_name
    from deploy.jobs.evaluate import evaluate as run
    from deploy.jobs.evaluate_endpoint import endpoint_of, evaluate_endpoint
    from deploy.view.evaluation_tables import to_json

    sources = [word for word in words if "=" not in word]
    if not sources:
        raise UsageError("name at least one problem set, such as aime-2025, a file, a run folder or builtin:tiny")
    endpoint = endpoint_of(checkpoint)
    model, run_folder = (checkpoint, None) if endpoint else checkpoint_folder(checkpoint)
    name = set_name(endpoint.model if endpoint else str(run_folder or checkpoint))
    long = {"n": "evaluation.samples", "k": "evaluation.k"}
    overrides = [
        f"{long.get(key, key)}={value}" for key, _, value in (word.partition("=") for word in words if "=" in word)
    ]
    defaults = [f"run.name=eval-{name.lower()}", "run.resume=false", f"model.path={model}"]
    if endpoint:
        overrides += [f"oracle.endpoint={endpoint.url}", f"oracle.model={endpoint.model}"]
    settings = RunFolder(run_folder).settings if run_folder else None
    config = load(settings, [*defaults, *overrides])
    job = evaluate_endpoint if endpoint else run
    evaluation = job(config, sources, console_of(as_json), label=label or name, fresh=fresh, lm_eval=lm_eval)
    if as_json:
        print(to_json([evaluation]).decode(), end="")
