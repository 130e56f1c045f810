"""`make real` is a chain of commands: each reads only runs that an earlier one of them writes."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

import deploy.jobs.mine
import deploy.jobs.sft
from conf.load import load
from conf.schema import RunConfig
from deploy.commands.run import commands
from deploy.jobs.evaluate import set_name

REPOSITORY = Path(__file__).parents[3]


def of_make() -> list[list[str]]:
    """The words after `pope` of each command of `make real`."""
    # Without what `make test` was given, such as ARGS.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "ARGS"}
    printed = subprocess.run(
        ["make", "-n", "real"], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True, timeout=60
    ).stdout
    return [shlex.split(line)[1:] for line in printed.splitlines() if "/pope " in line]


def of_page() -> list[list[str]]:
    text = (REPOSITORY / "docs" / "real.md").read_text()
    return [shlex.split(line, comments=True)[1:] for line in text.splitlines() if line.startswith("pope ")]


def test_the_page_names_the_commands_of_make() -> None:
    assert of_page() == of_make()


def test_every_command_reads_runs_that_were_written_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    configs: list[RunConfig] = []
    monkeypatch.setattr(deploy.jobs.sft, "sft", lambda config, *_, **__: configs.append(config))
    monkeypatch.setattr(deploy.jobs.mine, "mine", lambda config, *_, **__: configs.append(config))
    written: set[str] = set()
    for command, *words in of_make():
        read = {name for word in words for name in re.findall(r"runs/([a-z_-]+)", word)}
        if command in ("sft", "mine", "train"):
            if command == "train":
                configs.append(load(None, words))
            else:
                ended = CliRunner().invoke(commands, [command, *words], catch_exceptions=False)
                assert ended.exit_code == 0, ended.output
            config = configs[-1]
            read |= set(re.findall(r"runs/([a-z_-]+)", f"{config.model.path} {config.problems.source}"))
            writes = config.run.name
        else:
            writes = f"eval-{set_name(words[0])}"
        assert read <= written, f"pope {command} reads {read - written}, which no command before it writes"
        written.add(writes)
    assert {"real_format", "real_mine", "real"} <= written
