"""Sweep files, and settings of an experiment for one hardware only."""

from pathlib import Path

import pytest

from conf.errors import ConfigError
from conf.load import hardware_name, load
from conf.sweep_file import SweepFile, read_sweep


def write(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_sweep_file_names_experiments_seeds_and_settings_by_hardware(tmp_path: Path) -> None:
    path = write(tmp_path, "experiments: [hard, pope]\nseeds: [0, 7]\nsettings:\n  cpu: [run.max_groups=8]\n")
    file = read_sweep(path)
    assert file == SweepFile(("hard", "pope"), (0, 7), more_seeds={}, settings={"cpu": ("run.max_groups=8",)})
    assert file.runs == [(0, "hard"), (0, "pope"), (7, "hard"), (7, "pope")]


def test_some_experiments_have_more_seeds(tmp_path: Path) -> None:
    file = read_sweep(write(tmp_path, "experiments: [hard, pope]\nseeds: [0]\nmore_seeds: {pope: [3, 1], hard: [3]}\n"))
    assert file.runs == [(0, "hard"), (0, "pope"), (3, "hard"), (3, "pope"), (1, "pope")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seeds: [0]\n", "experiments must be a list of names of experiments, not None"),
        ("experiments: hard\nseeds: [0]\n", "experiments must be a list of names of experiments, not hard"),
        ("experiments: [hard]\nseeds: []\n", "seeds must be a list of whole numbers"),
        ("experiments: [hard]\nseeds: [0.5]\n", "seeds must be a list of whole numbers, not [0.5]"),
        ("experiments: [hard]\nseeds: [true]\n", "seeds must be a list of whole numbers"),
        ("experiments: [hard]\nseeds: [0]\nmore_seeds: {hrd: [1]}\n", "more_seeds must be {EXPERIMENT: [SEED, ...]}"),
        ("experiments: [hard]\nseeds: [0]\nmore_seeds: [1]\n", "more_seeds must be {EXPERIMENT: [SEED, ...]}"),
        ("experiments: [hard]\nseeds: [0]\nmore_seeds: {hard: 1}\n", "hard must be a list of whole numbers, not 1"),
        ("experiments: [hard]\nseeds: [0]\nsetings: {}\n",
         "'setings' is unknown; the keys of a sweep are experiments, seeds"),
        ("experiments: [hard]\nseeds: [0]\nsettings: [a=b]\n", "settings must be {HARDWARE: [key=value, ...]}"),
        ("experiments: [hard]\nseeds: [0]\nsettings: {cpus: [a=b]}\n",
         "cpus is not a hardware file; the names are cpu, gpu, gpu1, node8"),
        ("experiments: [hard]\nseeds: [0]\nsettings: {cpu: {a: b}}\n", "cpu must be a list of key=value words"),
        ("- hard\n", "must hold `section: {setting: value}`"),
    ],
)
def test_a_sweep_file_that_says_nonsense_is_refused_with_its_name(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_sweep(write(tmp_path, text))
    assert said in str(caught.value)
    assert "mine.yaml" in str(caught.value)


def test_what_stands_under_a_hardware_counts_there_and_nowhere_else(tmp_path: Path) -> None:
    parent = write(tmp_path, "learner: {threads: 2}\nfor_hardware: {cpu: {learner: {threads: 3}}}\n", "parent.yaml")
    child = write(tmp_path, f"defaults: {{experiment: {parent}}}\nfor_hardware: {{node8: {{run: {{seed: 5}}}}}}\n")
    assert (load(child).learner.threads, load(child).run.seed) == (3, 0)
    assert (load(child, ["hardware=node8"]).learner.threads, load(child, ["hardware=node8"]).run.seed) == (2, 5)
    assert load(child, ["learner.threads=4"]).learner.threads == 4, "the command line comes last"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "for_hardware: {gpus: {run: {seed: 1}}}\n",
            "for_hardware: gpus is not a hardware file; the names are cpu, gpu, gpu1, node8",
        ),
        ("for_hardware: {cpu: [run.seed=1]}\n", "must be {NAME: {section: {setting: value}}}"),
        ("for_hardware: {cpu: {run: {sed: 1}}}\n", "did you mean run.seed?"),
    ],
)
def test_nonsense_under_a_hardware_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text))
    assert said in str(caught.value)
    assert "mine.yaml" in str(caught.value)


def test_the_hardware_is_named_by_the_command_line_or_the_experiment(tmp_path: Path) -> None:
    assert hardware_name([]) == "cpu"
    assert hardware_name(["hardware=node8", "run.seed=1"]) == "node8"
    mine = write(tmp_path, "defaults: {hardware: node8}\n")
    assert hardware_name([f"experiment={mine}"]) == "node8"
