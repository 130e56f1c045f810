"""`pope init` writes an experiment file that `pope train` takes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from broker.errors import UsageError
from conf.errors import ConfigError
from conf.load import load
from deploy.jobs import experiment_file
from deploy.jobs.experiment_file import NEXT, Answers, usual_hardware, usual_model, write_experiment
from tests.runs import REPOSITORY


def answers(problems: str = "builtin:tiny", **others: object) -> Answers:
    given = {"model": "builtin:tiny", "hardware": "cpu", "steps": 40, "name": "first", **others}
    return Answers(problems=problems, **given)  # type: ignore[arg-type]


def test_the_file_gives_the_answers_as_settings_and_takes_settings_after_it(tmp_path: Path) -> None:
    problems = tmp_path / "my problems.jsonl"
    problems.write_text("")
    file = tmp_path / "first.yaml"
    config = write_experiment(file, answers(str(problems), model="absent/model-0.6b", name="007"))
    assert config == load(file)
    assert (config.problems.source, config.model.path) == (str(problems), "absent/model-0.6b")
    assert (config.run.name, config.run.max_steps, config.run.max_groups) == ("007", 40, None)
    assert config.problems.arms == {"unguided": 1, "guided": 1}
    assert load(file, ["run.max_steps=3"]).run.max_steps == 3


@pytest.mark.parametrize("model", ["builtin:tiny", "absent/model-0.6b"])
def test_the_settings_that_are_commented_out_have_the_values_that_hold(tmp_path: Path, model: str) -> None:
    file = tmp_path / "first.yaml"
    config = write_experiment(file, answers(model=model))
    head, after = file.read_text().split("# What people change next")
    settings = re.sub(r"^# ( |(?=\w+:$))", r"\1", after.partition("\n")[2], flags=re.MULTILINE)
    assert all(f"{name.rpartition('.')[2]}: " in settings for name in NEXT)
    file.write_text(head + "\n".join(line for line in settings.splitlines() if not line.startswith("#")))
    assert load(file) == config


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "first.yaml"
    file.write_text("mine")
    with pytest.raises(UsageError, match="overwrites nothing: remove it, or name another file"):
        write_experiment(file, answers())
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ({"problems": "absent.jsonl"}, UsageError, "absent.jsonl: no such file"),
        ({"name": "My Run"}, ConfigError, "try my-run"),
        ({"hardware": "cluster"}, ConfigError, "hardware"),
        ({"model": "builtin:huge"}, ConfigError, "model.path=builtin:huge"),
        ({"steps": 0}, ConfigError, "run.max_steps=0"),
        ({"name": "${oc.env:HOME}"}, ConfigError, "not a literal value"),
    ],
)
def test_an_answer_that_is_not_valid_is_named_and_leaves_no_file(
    tmp_path: Path, wrong: dict[str, object], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=re.escape(said)) as raised:
        write_experiment(tmp_path / "first.yaml", answers(**wrong))  # type: ignore[arg-type]
    assert "tmp" not in str(raised.value).replace(str(tmp_path), "")
    assert not list(tmp_path.iterdir())


def test_the_usual_answers_follow_the_problems_and_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for gpus in (0, 1, 2, 8):
        monkeypatch.setattr(experiment_file, "num_gpus", lambda gpus=gpus: gpus)
        found.append((usual_hardware(), usual_model("my.jsonl"), usual_model("builtin:tiny")))
    assert found == [
        ("cpu", "builtin:smollm2-135m", "builtin:tiny"),
        ("gpu1", "Qwen/Qwen3-0.6B", "builtin:tiny"),
        ("gpu", "Qwen/Qwen3-0.6B", "builtin:tiny"),
        ("gpu", "Qwen/Qwen3-0.6B", "builtin:tiny"),
    ]


def test_five_questions_make_a_file_that_train_takes(tmp_path: Path) -> None:
    def pope(*words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "deploy.cli", *words],
            cwd=tmp_path, env={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
            input=typed, capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    asked = pope("init", typed="\n\ncpu\n7\nmine\n")
    assert asked.returncode == 0, asked.stderr
    assert "pope train mine.yaml" in asked.stdout
    shown = pope("train", "mine.yaml", "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert "  name: mine\n" in shown.stdout
    assert "  max_steps: 7\n" in shown.stdout
    ended = pope("init", "--name", "other", typed="")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "give them by options" in ended.stderr
