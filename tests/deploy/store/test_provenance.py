"""What a command made goes to the next one with its model and prompts; a mismatch is an error."""

from pathlib import Path

import pytest

from broker.errors import UsageError
from broker.records import Problem
from conf.load import load
from conf.schema import RunConfig
from deploy.commands.arguments import experiment, experiment_with_a_model
from deploy.store.provenance import carried, check_provenance, save_provenance
from deploy.store.run_folder import RunFolder

MODEL = "Qwen/Qwen3-0.6B"
MINED_WITH = ["problems.source=solved.jsonl", f"model.path={MODEL}", "prompts.template_kwargs={enable_thinking: false}"]


@pytest.fixture
def mined(tmp_path: Path) -> Path:
    """The folder of a mining run."""
    folder = tmp_path / "mine"
    folder.mkdir()
    problem = Problem(id="a", statement="1+1?", answer="2", bucket="hard", source="x", solution="2")
    RunFolder(folder).save_problems([problem])
    save_provenance(folder, load(None, MINED_WITH), "mine")
    return folder


def taken(folder: Path, *words: str) -> RunConfig:
    return experiment_with_a_model(list(words), carried(folder))


def test_the_chain_keeps_problems_model_and_prompts(mined: Path) -> None:
    config = taken(mined, "learner.threads=2")
    check_provenance(config)
    assert config.problems.source == str(mined / "problems.jsonl")
    assert (config.model.path, config.prompts.template_kwargs) == (MODEL, {"enable_thinking": False})
    assert config.prompts.system is None
    assert (config.learner.threads, config.run.name) == (2, "pope")


def test_problems_without_a_model_are_refused_with_the_folder_to_take_it_from(mined: Path) -> None:
    source = mined / "problems.jsonl"
    with pytest.raises(UsageError, match=f"give --from {mined}, or model.path="):
        experiment_with_a_model([f"problems.source={source}"], [])
    with pytest.raises(UsageError, match=r"give model.path="):
        experiment_with_a_model(["problems.source=my.jsonl"], [])
    experiment_with_a_model(["problems.source=my.jsonl", "model.path=builtin:tiny"], [])
    experiment(["problems.source=my.jsonl"], [])


def test_another_model_and_other_prompts_are_a_mismatch(mined: Path) -> None:
    with pytest.raises(UsageError, match=r"made by pope mine with model.path=Qwen/Qwen3-0.6B.* trains other/model"):
        check_provenance(taken(mined, "model.path=other/model"))
    with pytest.raises(UsageError, match=r"prompts.system=null, and this run has Be brief.*--from"):
        check_provenance(taken(mined, "prompts.system=Be brief."))
    check_provenance(taken(mined, "actors.max_completion_tokens=256"))


def test_a_model_that_was_tuned_from_the_mined_one_is_no_mismatch(mined: Path, tmp_path: Path) -> None:
    tuned = tmp_path / "sft" / "sft" / "model"
    tuned.mkdir(parents=True)
    (tmp_path / "sft" / "logs").mkdir()
    (tmp_path / "sft" / "settings.yaml").write_text(f"model: {{path: {MODEL}}}\n")
    check_provenance(taken(mined, f"model.path={tuned}"))
    save_provenance(tmp_path / "sft", load(None, MINED_WITH), "sft", model=str(tuned))
    after = taken(tmp_path / "sft")
    assert (after.model.path, after.problems.source) == (str(tuned), "solved.jsonl")


def test_a_folder_that_hands_nothing_on_is_named(tmp_path: Path, mined: Path) -> None:
    with pytest.raises(UsageError, match=f"--from {tmp_path}: no provenance.json there"):
        carried(tmp_path)
    (mined / "provenance.json").write_text("{")
    with pytest.raises(UsageError, match="is damaged"):
        carried(mined)
