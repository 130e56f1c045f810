"""`pope init`: a commented experiment file, from five answers."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from broker.errors import UsageError
from conf.errors import ConfigError
from conf.load import explain_defaults, load
from conf.machine import num_gpus
from conf.names import flat
from conf.schema import RunConfig

TABLES = (".jsonl", ".json", ".parquet")
"""Endings of the files with problems."""
NEXT = {
    "actors.max_completion_tokens": "longest response in tokens",
    "learner.learning_rate": "",
    "learner.max_lag": "optimizer steps that a trained token may be old; 0: synchronous",
    "learner.checkpoint_every": "optimizer steps",
    "evaluation.every_steps": "optimizer steps between evaluations during training; 0: none",
    "deploy.dashboard": "a page in the browser during the run",
    "deploy.loggers": "wandb, tensorboard, trackio, mlflow",
}
"""Settings that people change next -> what they mean."""


@dataclass(frozen=True)
class Answers:
    """What an experiment cannot do without."""

    problems: str
    """`problems.source`."""
    model: str
    """`model.path`."""
    hardware: str
    """A file of conf/hardware, by name."""
    steps: int
    """Budget in optimizer steps."""
    name: str
    """Of the run."""


def usual_model(problems: str) -> str:
    """The smallest model that suits the problems and this machine."""
    if problems.startswith("builtin:tiny"):
        return "builtin:tiny"
    return "Qwen/Qwen3-0.6B" if num_gpus() else "builtin:smollm2-135m"


def usual_hardware() -> str:
    """The hardware file that suits the GPUs of this machine."""
    return ("cpu", "gpu1")[num_gpus()] if num_gpus() < 2 else "gpu"


def write_experiment(file: Path, answers: Answers) -> RunConfig:
    """Write a new file, and return the settings that `pope train FILE` uses.

    Raises UsageError when the file exists or the problems are not there, ConfigError when an answer is not valid;
    nothing is written then.
    """
    if file.suffix != ".yaml":
        raise UsageError(f"{file}: an experiment file ends in .yaml")
    if file.exists():
        raise UsageError(f"{file} exists, and pope init overwrites nothing: remove it, or name another file")
    if answers.problems.endswith(TABLES) and not Path(answers.problems).expanduser().is_file():
        raise UsageError(
            f"problems {answers.problems}: no such file; name a file, a data set of the hub, or builtin:tiny"
        )
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / file.name
        draft.write_text(_head(file, answers), encoding="utf-8")
        try:
            config = load(draft)
        except ConfigError as error:
            raise ConfigError(str(error).replace(str(draft), str(file)), error.keys) from None
        text = _head(file, answers, config) + _more(config)
        draft.write_text(text, encoding="utf-8")
        load(draft)  # the comments broke nothing
    with file.open("x", encoding="utf-8") as new:
        new.write(text)
    return config


def _head(file: Path, answers: Answers, config: RunConfig | None = None) -> str:
    """The answers as settings. `config`: settings whose values comments mention."""
    rollouts = f", of {config.learner.batch_samples} rollouts each" if config else ""
    lines: dict[str, dict[str, tuple[object, str]]] = {
        "run": {
            "name": (answers.name, "of the folder in runs"),
            "max_steps": (answers.steps, f"budget: optimizer steps{rollouts}"),
            "max_groups": (None, "budget: groups of rollouts; null: no limit"),
        },
        "model": {"path": (answers.model, "a hub id or a folder")},
        "problems": {
            "source": (answers.problems, 'a file of {"statement", "answer", "solution"} a line, or a data set'),
        },
    }
    sections = [
        f"{section}:\n" + "".join(f"  {_setting(key, *value)}\n" for key, value in settings.items())
        for section, settings in lines.items()
    ]
    return (
        f"# Made by pope init. Train it:   pope train {file}\n"
        "# All settings with their ranges: docs/settings.md. With --dry-run the command prints them and stops.\n\n"
        "# POPE: guided and unguided prompts 1:1. Others are in conf/experiments and conf/hardware.\n"
        f"defaults: {{experiment: pope, hardware: {answers.hardware}}}\n\n" + "\n".join(sections)
    )


def _more(config: RunConfig) -> str:
    """The settings that people change next, commented out, with the values that they have here."""
    values, text, section = flat(config), "\n# What people change next, with the values that hold without a change.", ""
    if why := explain_defaults(config):
        text += f"\n# {why.partition(':')[0]}."
    for name, meaning in NEXT.items():
        here, _, key = name.partition(".")
        if here != section:
            section, text = here, f"{text}\n# {here}:"
        text += f"\n#   {_setting(key, values[name], meaning)}"
    return text + "\n"


def _setting(key: str, value: object, meaning: str) -> str:
    line = f"{key}: {json.dumps(value, ensure_ascii=False)}"
    return f"{line:32}  # {meaning}" if meaning else line
