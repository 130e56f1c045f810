"""What several commands take."""

from pathlib import Path
from typing import Annotated

import typer

from conf.schema import RunConfig

RUN, LOOK, PREPARE = "Run", "Look at runs", "Before a run"
"""Headings of `pope --help`."""

SettingsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[FILE.yaml] [KEY=VALUE]...", help="An experiment file and overrides.")
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, live or finished.")]
UrlOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="The run's own Redis, password included; settings.yaml leaves it out. $POPE_BROKER_URL says the same, "
        "unseen by other users of the machine.",
    ),
]
FreshOption = Annotated[bool, typer.Option("--fresh", help="Start anew; the earlier folder is kept under a number.")]


def experiment(settings: list[str] | None, defaults: list[str], meant: str = "pope") -> RunConfig:
    """[FILE.yaml] [KEY=VALUE]... -> settings; `defaults` are overrides that the user's come after, `meant` is the
    experiment when none is named."""
    from conf.load import load

    words = list(settings or [])
    file = Path(words.pop(0)) if words and "=" not in words[0] else None
    if file is None and not any(word.startswith("experiment=") for word in words):
        words.insert(0, f"experiment={meant}")
    return load(file, [*defaults, *words])
