"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from conf.schema import RunConfig

RUN, LOOK, PREPARE = "Run", "Look at runs", "Before a run"
"""Headings of `pope --help`."""

SettingsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILE.yaml] [KEY=VALUE]...", help="An experiment file, then settings (docs/settings.md)."
    ),
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, running or finished.")]
UrlOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="URL of the run's external Redis, with its password, which settings.yaml leaves out. Other users can read "
        "a command line: $POPE_BROKER_URL is the safer place for it.",
    ),
]
FreshOption = Annotated[
    bool, typer.Option("--fresh", help="Start over instead of resuming; the earlier folder is renamed to NAME.1, ...")
]


def experiment(settings: list[str] | None, defaults: list[str], default_experiment: str = "pope") -> RunConfig:
    """[FILE.yaml] [KEY=VALUE]... -> settings. `defaults`: settings of the command; the user's settings override them.
    `default_experiment`: the experiment when the user names none."""
    from conf.load import load

    words = list(settings or [])
    file = Path(words.pop(0)) if words and "=" not in words[0] else None
    if file is None and not any(word.startswith("experiment=") for word in words):
        words.insert(0, f"experiment={default_experiment}")

    return load(file, [*defaults, *words])
