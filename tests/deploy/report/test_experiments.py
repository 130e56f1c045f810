from dataclasses import replace
from pathlib import Path

import pytest

from broker.errors import UsageError
from conf.load import load
from deploy.report.experiments import Experiment, about, experiments, label
from deploy.report.run_records import RunRecords


def run(name: str, seed: int, steps: int = 10, **settings: object) -> RunRecords:
    config = load(None, [f"run.seed={seed}", *(f"{key}={value}" for key, value in settings.items())])
    return RunRecords(path=Path("runs") / name, config=config, learner=[{"step": str(steps)}])


@pytest.mark.parametrize(
    ("folder", "seed", "expected"),
    [
        ("hard-s0", 0, "hard"),
        ("hard_guide-s12", 12, "hard_guide"),
        ("clip-2", 2, "clip"),
        ("hard.seed3", 3, "hard"),
        ("hard-s1", 0, "hard-s1"),
        ("v2", 2, "v2"),
        ("-2", 2, "-2"),
        ("evil\x1b", 0, "evil\\x1b"),
    ],
)
def test_a_label_is_the_name_without_the_runs_own_seed(folder: str, seed: int, expected: str) -> None:
    assert label(folder, seed) == expected


def test_runs_of_one_label_are_seeds_in_order() -> None:
    found = experiments([run("b-s1", 1), run("a-s0", 0), run("b-s0", 0)])
    assert [(each.label, each.seeds) for each in found] == [("b", [0, 1]), ("a", [0])]


def test_one_seed_of_one_experiment_twice_is_refused() -> None:
    with pytest.raises(UsageError, match=r"more/a-s0 and runs/a-s0 are both seed 0 .* rename one folder"):
        experiments([run("a-s0", 0), replace(run("a-s0", 0), path=Path("more/a-s0"))])


def test_settings_that_differ_between_seeds_are_listed() -> None:
    same = Experiment("a", (run("a-s0", 0), run("a-s1", 1, **{"run.name": "other", "deploy.heartbeat_s": 9})))
    assert same.differing == []
    other = Experiment("a", (run("a-s0", 0), run("a-s1", 1, **{"learner.learning_rate": 0.001})))
    assert other.differing == ["learner.learning_rate: 0.0005, 0.001"]


def test_a_figure_names_its_runs_seeds_and_steps() -> None:
    a, b = Experiment("a", (run("a-s0", 0), run("a-s1", 1, steps=12))), Experiment("b", (run("b", 3),))
    assert about([a]) == "a: seeds 0, 1; 10 to 12 steps"
    assert about([b]) == "b: seed 3; 10 steps"
    assert about([a, b]) == "a seeds 0, 1; b seed 3; 10 to 12 steps"
    assert about([a, replace(a, label="c")]) == "a, c: seeds 0, 1 each; 10 to 12 steps"
    assert about([replace(a, label=str(i)) for i in range(5)]) == "5 experiments: seeds 0, 1 each; 10 to 12 steps"
    many = [replace(a, label=str(i)) for i in range(4)]
    assert about([*many, b]) == "5 experiments: 4 with seeds 0, 1; 1 with seed 3; 10 to 12 steps"
    others = [Experiment(str(i), (run(f"{i}-s{i}", i),)) for i in range(3)]
    assert about([*many, *others]) == "7 experiments: seeds 0, 1, 2, not all of each; 10 to 12 steps"
