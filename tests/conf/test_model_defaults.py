"""The toy's settings are the toy's alone; a real model gets those of its size and of the device that is there."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from conf import load as loading
from conf import model_defaults
from conf.errors import ConfigError
from conf.layers import CONF_FOLDER, read_file
from conf.load import dump, explain_defaults, hardware_name, load, names_a_model
from conf.model_facts import ModelFacts, facts_of, lineage
from conf.names import flat
from conf.schema import RunConfig

REAL = ["model.path=Qwen/Qwen3-0.6B", "problems.source=my.jsonl"]
TOY = {a.name: a.value for a in read_file(CONF_FOLDER / "models" / "tiny.yaml").assignments}


def write_model(folder: Path, **config: Any) -> Path:
    folder.mkdir(parents=True)
    sizes = {"hidden_size": 576, "num_hidden_layers": 30, "vocab_size": 49152, "intermediate_size": 1536}
    heads = {"num_attention_heads": 9, "num_key_value_heads": 3, "max_position_embeddings": 8192}
    text = json.dumps(sizes | heads | {"tie_word_embeddings": True} | config)
    (folder / "config.json").write_text(text)
    return folder


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, 0)


def gpus(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(loading, "num_gpus", lambda: number)


def test_what_the_toy_was_tuned_for_reaches_no_real_model() -> None:
    real, base = flat(load(None, REAL)), flat(RunConfig())
    assert flat(load(None, [])).items() >= TOY.items()
    for name in ("learner.learning_rate", "learner.warmup_samples", "preprocess.advantage", "sft.learning_rate"):
        assert real[name] != TOY[name]
        assert base[name] != TOY[name], f"{name} of the toy is in base.yaml"
    assert real["learner.max_lag"] != TOY["learner.max_lag"]
    assert real["actors.max_completion_tokens"] != TOY["actors.max_completion_tokens"]
    assert real["run.max_groups"] is None
    assert real["preprocess.drop_zero_advantage"]


def test_a_model_of_the_papers_size_gets_the_papers_numbers_on_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, 8)
    words = ["model.path=Qwen/Qwen3-4B-Instruct-2507", "problems.source=my.jsonl"]
    ours, paper = load(None, words), load(None, ["hardware=node8"])
    assert hardware_name(words) == "gpu"
    assert (ours.actors.num_actors, ours.learner.num_ranks, ours.learner.zero_stage) == (6, 2, 3)
    for name in (
        "learner.learning_rate", "learner.batch_samples", "learner.warmup_samples", "learner.row_tokens", "model.dtype",
        "actors.max_prompt_tokens", "actors.max_completion_tokens", "actors.temperature", "deploy.device",
        "weights.backend", "sft.learning_rate", "actors.max_num_seqs",
    ):  # fmt: skip
        assert flat(ours)[name] == flat(paper)[name], name


@pytest.mark.parametrize(("number", "hardware"), [(0, "cpu"), (1, "cpu"), (2, "gpu")])
def test_a_real_model_runs_on_the_gpus_of_the_machine_if_they_suffice(
    monkeypatch: pytest.MonkeyPatch, number: int, hardware: str
) -> None:
    gpus(monkeypatch, number)
    assert hardware_name(REAL) == hardware
    assert hardware_name([*REAL, "hardware=cpu"]) == "cpu", "what the user names counts"
    assert hardware_name([]) == "cpu", "the toy stays on the CPU"
    told = explain_defaults(load(None, REAL))
    assert told is not None
    assert {0: "on cpu, no GPU here", 1: "training takes two", 2: "on cuda, 2 GPUs here"}[number] in told


def test_the_line_says_size_source_and_values_without_those_that_the_user_gave() -> None:
    told = explain_defaults(load(None, [*REAL, "learner.learning_rate=3e-6"]))
    assert told is not None
    assert told.startswith("defaults for Qwen/Qwen3-0.6B (600 M parameters by its name) on cpu")
    assert "actors.max_completion_tokens=512" in told
    assert "learning_rate" not in told.replace("sft.learning_rate", "")
    assert explain_defaults(load(None, [])) is None


def test_the_size_is_read_from_config_json_and_the_budget_fits_its_positions(tmp_path: Path) -> None:
    facts = facts_of(str(write_model(tmp_path / "smol")))
    assert facts.parameters == pytest.approx(134.5e6, rel=0.01)
    short = write_model(tmp_path / "short", max_position_embeddings=256)
    config = load(None, [f"model.path={short}", "problems.source=my.jsonl"])
    assert config.actors.max_model_tokens == 256
    small, large = (model_defaults.defaults_of(ModelFacts("m", parameters=n), "cuda", 2) for n in (0.1e9, 70e9))
    assert small["learner.learning_rate"] > large["learner.learning_rate"] == 1e-6
    assert facts_of("somebody/unknown").parameters is None
    assert load(None, ["model.path=somebody/unknown", "problems.source=a.jsonl"]).learner.learning_rate == 1e-6


@pytest.mark.parametrize("damage", ["{", "[]", '{"hidden_size": "x"}', "\x00"])
def test_a_damaged_model_folder_gives_no_numbers_and_no_error(tmp_path: Path, damage: str) -> None:
    (tmp_path / "config.json").write_text(damage)
    assert facts_of(str(tmp_path)).parameters is None


def test_what_was_trained_from_the_toy_is_the_toy(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "sft"
    (run / "logs").mkdir(parents=True)
    (run / "settings.yaml").write_text(dump(load(None, [])))
    tuned = write_model(run / "sft" / "model")
    assert lineage(str(tuned)) == [str(tuned), "builtin:tiny"]
    assert load(None, [f"model.path={tuned}"]).learner.learning_rate == 5e-4
    (run / "settings.yaml").write_text("model: [")
    assert lineage(str(tuned)) == [str(tuned)]


def test_settings_under_for_model_count_for_the_toy_only(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("learner: {threads: 2}\nfor_model: {tiny: {learner: {threads: 3}}}\n")
    assert load(file, []).learner.threads == 3
    assert load(file, REAL).learner.threads == 2
    file.write_text("for_model: {tyni: {learner: {threads: 3}}}\n")
    with pytest.raises(ConfigError, match="tyni is not a model file; the names are tiny"):
        load(file, [])


def test_every_file_says_whether_it_names_a_model(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"model": {"path": "builtin:tiny"}}))
    assert names_a_model(file, [])
    assert names_a_model(None, ["model.path=builtin:tiny"])
    assert names_a_model(None, ["hardware=node8"])
    assert not names_a_model(None, ["experiment=pope"])


# Words of other tools


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("+learner.threads=2", "no setting can be added, all of them exist"),
        ("~problems.arms", "no setting can be removed"),
        ("learner.learning_rate=1e-4,5e-4", "holds several values, and a run has one"),
        ("run.seed=[0,1]", "holds several values, and a run has one"),
        ("lr=1e-4", "did you mean learner.learning_rate?"),
        ("batch_size=8", "did you mean learner.batch_samples?"),
    ],
)
def test_words_of_other_tools_are_answered_in_one_sentence(word: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, [word])
    assert message in str(caught.value)
