"""Arguments and options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from broker.errors import UsageError
from conf.schema import RunConfig
from deploy.view.screen import Screen, screen

RUN, LOOK, PREPARE, AFTER = "Run", "Look at runs", "Before a run", "After a run"
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
FromOption = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="FOLDER",
        help="Take problems, guidance, model and prompts from this folder of pope mine, sft or train.",
    ),
]
FreshOption = Annotated[
    bool, typer.Option("--fresh", help="Start over instead of resuming; the earlier folder is renamed to NAME.1, ...")
]


JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON; progress and warnings go to standard error.")
]


def console_of(as_json: bool, plain_console: Callable[[], Screen] = screen) -> Screen:
    """Where a command prints: standard error if its result is printed as JSON."""
    return Screen(stderr=True, soft_wrap=True) if as_json else plain_console()


def print_json(value: object) -> None:
    """Print one JSON document on standard output."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def experiment(settings: list[str] | None, defaults: list[str], default_experiment: str = "pope") -> RunConfig:
    """[FILE.yaml] [KEY=VALUE]... -> settings. `defaults`: settings of the command; the user's settings override them.
    `default_experiment`: the experiment when the user names none."""
    from conf.load import load

    return load(*_words(settings, defaults, default_experiment))


def experiment_with_a_model(
    settings: list[str] | None, defaults: list[str], default_experiment: str = "pope"
) -> RunConfig:
    """As `experiment`. Raises UsageError when problems are named and no model: the default one is a toy that knows the
    built-in problems only."""
    from conf.load import load, names_a_model

    file, words = _words(settings, defaults, default_experiment)
    config = load(file, words)
    if not config.problems.source.startswith("builtin:") and not names_a_model(file, words):
        carried = Path(config.problems.source).expanduser().parent
        source = f"--from {carried}, or " if (carried / "provenance.json").exists() else ""
        raise UsageError(
            f"problems.source={config.problems.source} needs a model of yours, and none is named: give {source}"
            "model.path=FOLDER or a hub id (the default, builtin:tiny, is a toy that knows the built-in problems only)"
        )
    return config


def _words(settings: list[str] | None, defaults: list[str], default_experiment: str) -> tuple[Path | None, list[str]]:
    words = list(settings or [])
    file = Path(words.pop(0)) if words and _may_be_a_file(words[0]) else None
    if file is None and not any(word.startswith("experiment=") for word in words):
        words.insert(0, f"experiment={default_experiment}")
    return file, [*defaults, *words]


def _may_be_a_file(word: str) -> bool:
    """Raises UsageError for the name of a shipped experiment."""
    from conf.layers import shipped

    if word in shipped("experiment"):
        raise UsageError(f"{word} is an experiment; write experiment={word}")
    return "=" not in word and not word.startswith(("~", "+"))
