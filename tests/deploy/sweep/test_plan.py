"""Names, seeds and settings become runs that share neither a name nor a key, at equal budgets."""

from pathlib import Path

import pytest

from broker.errors import UsageError
from broker.keys import Keys
from conf.errors import ConfigError
from deploy.sweep.plan import plan_sweep


def test_every_experiment_runs_under_every_seed_in_a_folder_of_the_sweep(tmp_path: Path) -> None:
    plan = plan_sweep(["hard", "pope", "seeds=[0,2]", f"run.root={tmp_path}", "run.name=try", "run.max_groups=64"])
    assert plan.folder == tmp_path / "try"
    assert [run.name for run in plan.runs] == ["hard-s0", "pope-s0", "hard-s2", "pope-s2"]
    for run in plan.runs:
        assert (run.config.run.name, run.config.run.seed) == (run.name, run.seed)
        assert run.config.run.root == str(plan.folder)
        assert run.config.run.max_groups == 64
    assert plan.runs[0].config.problems.arms == {"unguided": 1}
    assert plan.runs[1].config.problems.arms == {"unguided": 1, "guided": 1}


def test_without_seeds_there_is_one(tmp_path: Path) -> None:
    assert [run.name for run in plan_sweep(["hard", f"run.root={tmp_path}"]).runs] == ["hard-s0"]
    assert plan_sweep(["hard"]).name == "sweep"


def test_a_sweep_by_name_brings_its_settings_and_the_command_line_wins(tmp_path: Path) -> None:
    plan = plan_sweep(["figure9", f"run.root={tmp_path}"])
    assert plan.folder == tmp_path / "figure9"
    assert {run.config.run.max_groups for run in plan.runs} == {1600}
    assert {run.seed for run in plan.runs} == {0, 1, 2}
    other = plan_sweep(["figure9", "seeds=[5]", "max_groups=9", f"run.root={tmp_path}", "run.name=mine"])
    assert other.folder == tmp_path / "mine"
    assert {run.config.run.max_groups for run in other.runs} == {9}
    assert {run.seed for run in other.runs} == {5}
    assert {run.config.run.max_groups for run in plan_sweep(["figure9", "hardware=node8"]).runs} == {None}


def test_a_sweep_of_the_users_own_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("experiments: [hard, pope]\nseeds: [4]\nsettings: {cpu: [max_groups=9]}\n")
    plan = plan_sweep([str(file), f"run.root={tmp_path}"])
    assert (plan.folder, [run.name for run in plan.runs]) == (tmp_path / "mine", ["hard-s4", "pope-s4"])
    assert plan.runs[0].config.run.max_groups == 9
    file.write_text(file.read_text() + "more_seeds: {pope: [5]}\n")
    assert [run.name for run in plan_sweep([str(file)]).runs] == ["hard-s4", "pope-s4", "pope-s5"]
    assert [run.name for run in plan_sweep([str(file), "seeds=[6]"]).runs] == ["hard-s6", "pope-s6"]


def test_an_experiment_may_be_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("learner: {learning_rate: 1.0e-4}\n")
    (run,) = plan_sweep([str(file)]).runs
    assert (run.name, run.config.learner.learning_rate) == ("mine-s0", 1e-4)


def test_on_a_redis_of_the_users_own_no_two_sweeps_share_a_key() -> None:
    words = ["hard", "pope", "seeds=[0,1]", "broker.url=redis://db:6380"]
    names = [run.name for sweep in ("a", "b") for run in plan_sweep([*words, f"run.name={sweep}"]).runs]
    assert names[:2] == ["a-hard-s0", "a-pope-s0"]
    assert len({Keys(name).prefix for name in names}) == len(names) == 8


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name experiments, such as hard hard_guide, or one of the sweeps figure3, figure4"),
        (["seeds=[0]"], "name experiments"),
        (["hard", "paper"], "paper is a sweep of its own: give it alone"),
        (["hard", "hard"], "hard under seed 0 and hard under seed 0 would both be the run hard-s0"),
        (["hard", "seeds=[1,1]"], "would both be the run hard-s1"),
        (["hard", "conf/experiments/hard.yaml"], "hard under seed 0 and conf/experiments/hard.yaml under seed 0"),
        (["hard", "seeds=[a]"], "seeds=[a] must be a list of whole numbers from 0"),
        (["hard", "seeds=[]"], "must be a list of whole numbers"),
        (["hard", "seeds=[-1]"], "must be a list of whole numbers"),
        (["hard", "run.seed=1"], "run.seed is set by the sweep; give seeds=[0,1,2]"),
        (["hard", "seed=1"], "run.seed is set by the sweep"),
        (["hard", "run.resume=true"], "a sweep resumes its runs by itself"),
        (["hard", "experiment=pope"], "name the experiments without experiment="),
        (["hrd"], "did you mean hard?"),
        (["hard", "learner.learning_rat=1"], "did you mean learner.learning_rate?"),
        (["hard", "seeds=[99999999999]"], "run.seed=99999999999 is outside its range"),
    ],
)
def test_what_cannot_be_a_sweep_is_refused(words: list[str], said: str) -> None:
    with pytest.raises((UsageError, ConfigError)) as caught:
        plan_sweep(words)
    assert said in str(caught.value)


def test_runs_that_are_evaluated_differently_are_not_compared(tmp_path: Path) -> None:
    file = tmp_path / "cool.yaml"
    file.write_text("actors: {temperature: 0.5}\n")
    words = ["hard", str(file), f"run.root={tmp_path}"]
    with pytest.raises(UsageError, match=r"hard: temperature 1, at most 256 tokens; .*cool\.yaml: temperature 0\.5"):
        plan_sweep(words)
    assert len(plan_sweep([*words, "evaluation.temperature=1.0"]).runs) == 2, "trained differently, evaluated alike"


def test_runs_with_unequal_budgets_are_not_compared(tmp_path: Path) -> None:
    small = tmp_path / "small.yaml"
    small.write_text("run: {max_groups: 50}\n")
    with pytest.raises(UsageError, match=r"hard: run.max_groups=2000.*small.yaml: run.max_groups=50") as caught:
        plan_sweep(["hard", str(small)])
    assert "run.max_groups=1600" in str(caught.value)
    assert len(plan_sweep(["hard", str(small), "run.max_groups=50"]).runs) == 2
