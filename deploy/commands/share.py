"""The command that makes a finished run useful to others: publish."""

from pathlib import Path
from typing import Annotated

import typer

from broker.errors import UsageError
from deploy.commands.arguments import AFTER, RunArgument
from deploy.view.screen import screen

commands = typer.Typer()


@commands.command(
    rich_help_panel=AFTER,
    epilog="Examples:\n\n"
    "  pope publish runs/pope\n\n"
    "  pope publish runs/pope --report runs/eval-pope/report.json --out models/mine --license apache-2.0\n\n"
    "  pope publish runs/pope --push OWNER/NAME\n\n"
    "vllm serve runs/pope/published serves the result.",
)
def publish(
    run: RunArgument,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Folder to write. Default: RUN/published.")
    ] = None,
    step: Annotated[
        int | None, typer.Option("--step", metavar="N", min=0, help="Checkpoint of step N. Default: the newest.")
    ] = None,
    report: Annotated[
        list[Path] | None,
        typer.Option("--report", metavar="FILE", help="A report.json of pope eval, to show in the card; repeatable."),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option("--license", metavar="ID", help="Licence of the base model, such as mit, if it has no card."),
    ] = None,
    push: Annotated[
        str | None, typer.Option("--push", metavar="OWNER/NAME", help="Upload to this repository of the hub.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="A new repository is public. Default: private.")] = False,
) -> None:
    """Write a checkpoint as a Hugging Face folder with a model card, for transformers and vLLM, and push it."""
    if public and push is None:
        raise UsageError("--public is for a repository: add --push OWNER/NAME")
    from deploy.jobs.publish import publish as write

    write(
        run, screen(), out=out, step=step, reports=report or [], licence=licence, repository=push, public=public
    )
