"""provenance.json: which command, model and prompts made the problems.jsonl beside it.

Whether a problem is hard, and which prefix helps, holds for one model under one prompt. `--from FOLDER` hands both on
to the next command; a run on such problems with another model or prompt is refused.
"""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from broker.errors import UsageError
from conf.model_facts import lineage
from conf.names import flat
from conf.schema import RunConfig
from deploy.store.plugin_versions import read_plugins

FILE = "provenance.json"
MUST_MATCH = ("prompts.system", "prompts.template_kwargs")
"""Besides the model."""
HANDED_ON = (
    "model.path", "model.cache_dir", "model.dtype", *MUST_MATCH, "actors.temperature", "actors.max_prompt_tokens",
    "actors.max_completion_tokens",
)  # fmt: skip


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """What made the problems of a folder."""

    command: str
    """mine, sft or train."""
    version: str
    """Of pope-rl."""
    source: str
    """`problems.source` of that command."""
    settings: dict[str, Any]
    """Values of the settings in HANDED_ON; `model.path` is the model that the next command starts from."""
    plugins: dict[str, str] = {}
    """Setting -> import path and SHA-256 of the functions of the user that took part."""


def save_provenance(folder: Path, config: RunConfig, command: str, model: str | None = None) -> None:
    """Write it to the folder of a command. `model`: the folder of the model that it made, if it made one."""
    values = flat(config)
    settings = {name: values[name] for name in HANDED_ON} | {"model.path": model or _absolute(config.model.path)}
    record = Provenance(
        command=command,
        version=version("pope-rl"),
        source=config.problems.source,
        settings=settings,
        plugins={entry.setting: f"{entry.name} {entry.sha256}" for entry in read_plugins(folder)},
    )
    (folder / FILE).write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")


def carried(folder: Path | None) -> list[str]:
    """`key=value` words that hand the problems, the model and the prompts of a folder on; none for None.

    Raises UsageError if the folder was not made by a command that hands something on.
    """
    if folder is None:
        return []
    record = _read(folder.expanduser())
    if record is None:
        raise UsageError(f"--from {folder}: no {FILE} there; name a folder that pope mine, sft or train has finished")
    problems = folder.expanduser() / "problems.jsonl"
    source = str(problems) if problems.exists() else record.source
    return [f"problems.source={source}", *(f"{name}={_word(value)}" for name, value in record.settings.items())]


def check_provenance(config: RunConfig) -> None:
    """Raises UsageError when `problems.source` was made with another model, or with other prompts."""
    source = Path(config.problems.source).expanduser()
    record = _read(source.parent) if source.name == "problems.jsonl" else None
    if record is None:
        return
    model, values = str(record.settings["model.path"]), flat(config)
    remedy = f"take its settings over by --from {source.parent}, or run pope mine with the new ones"
    if _absolute(model) not in map(_absolute, lineage(config.model.path)):
        raise UsageError(
            f"{source} was made by pope {record.command} with model.path={model}, and this run trains "
            f"{config.model.path}, for which other problems are hard: {remedy}"
        )
    for name in MUST_MATCH:
        if values[name] != record.settings[name]:
            raise UsageError(
                f"{source} was made by pope {record.command} with {name}={_word(record.settings[name])}, and this run "
                f"has {_word(values[name])}, which changes what is hard: {remedy}"
            )


def _read(folder: Path) -> Provenance | None:
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        return msgspec.json.decode(file.read_bytes(), type=Provenance)
    except msgspec.DecodeError as error:
        raise UsageError(f"{file} is damaged: {error}; run the command that made it again") from error


def _absolute(model: str) -> str:
    """The model's folder, or its name if it is none."""
    folder = Path(model).expanduser()
    return str(folder.resolve()) if folder.is_dir() else model


def _word(value: object) -> str:
    """A value as the command line takes it."""
    return value if isinstance(value, str) else json.dumps(value)
