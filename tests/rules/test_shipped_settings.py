"""Every YAML that ships loads, on every hardware, and says what the paper says."""

import pytest

from conf.layers import CONF_FOLDER
from conf.load import load
from conf.schema import RunConfig

EXPERIMENTS = sorted(path.stem for path in (CONF_FOLDER / "experiments").glob("*.yaml"))
HARDWARE = sorted(path.stem for path in (CONF_FOLDER / "hardware").glob("*.yaml"))


def on(experiment: str, hardware: str) -> RunConfig:
    return load(None, [f"experiment={experiment}", f"hardware={hardware}"])


def test_they_are_there() -> None:
    assert {"pope", "hard", "hard_guide", "hard_easy", "hard_guide_easy", "modified_instruction"} <= set(EXPERIMENTS)
    assert {"cpu", "node8"} <= set(HARDWARE)


@pytest.mark.parametrize("hardware", HARDWARE)
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_loads_on_every_hardware(experiment: str, hardware: str) -> None:
    config = on(experiment, hardware)
    assert config.run.name == experiment
    assert config.deploy.device == ("cpu" if hardware == "cpu" else "cuda")


def test_hard_guide_is_pope_by_the_papers_name() -> None:
    pope, hard_guide = on("pope", "cpu"), on("hard_guide", "cpu")
    assert (pope.problems, pope.guidance) == (hard_guide.problems, hard_guide.guidance)


@pytest.mark.parametrize(
    ("experiment", "arms"),
    [
        ("pope", {"unguided": 1, "guided": 1}),
        ("hard", {"unguided": 1}),
        ("hard_easy", {"unguided": 1, "easy": 1}),
        ("hard_guide_easy", {"unguided": 1, "guided": 1, "easy": 1}),
        ("modified_instruction", {"unguided": 1, "guided": 1}),
        ("sft_full_oracle", {"unguided": 1}),
        ("sft_prefix", {"unguided": 1}),
    ],
)
def test_an_experiment_draws_its_arms(experiment: str, arms: dict[str, int]) -> None:
    assert on(experiment, "cpu").problems.arms == arms
    assert on(experiment, "cpu").guidance.instruction == (
        "modified" if experiment == "modified_instruction" else "default"
    )


@pytest.mark.parametrize(
    ("experiment", "arms", "length", "shares"),
    [
        ("pope", {"unguided": 1, "guided": 1}, "shortest_useful", None),
        ("questa", {"guided": 1}, "staged", [0.5, 0.25]),
        ("uft_length", {"guided": 1}, "annealed", [0.95, 0.05]),
        ("adaback", {"guided": 1}, "adaptive", None),
        ("g2rpo_a", {"unguided": 1, "guided": 1}, "adaptive", [1.0]),
    ],
)
@pytest.mark.parametrize("hardware", ["cpu", "node8"])
def test_a_method_has_the_lengths_of_its_paper(
    experiment: str, arms: dict[str, int], length: str, shares: list[float] | None, hardware: str
) -> None:
    config = on(experiment, hardware)
    assert (config.problems.arms, config.guidance.length) == (arms, length)
    assert shares in (None, config.guidance.shares)
    assert config.guidance.adapt_rule == ("ratio" if experiment == "g2rpo_a" else "interval")


def test_node8_holds_the_numbers_of_table_3() -> None:
    sft = on("sft_full_oracle", "node8").sft
    assert sft.learning_rate == 1e-5
    assert sft.epochs == 3
    assert sft.batch_samples == 128
    assert sft.max_tokens == 16384
    assert sft.num_ranks == 8
    assert sft.warmup_share == 0.1
    assert on("sft_full_oracle", "node8").learner.gradient_checkpointing
    assert on("sft_full_oracle", "node8").model.dtype == "bfloat16"


@pytest.mark.parametrize("data", ["full_oracle", "prefix"])
def test_sft_experiments_are_sft_and_then_rl_on_hard_problems(data: str) -> None:
    config, hard = on(f"sft_{data}", "cpu"), on("hard", "cpu")
    assert config.sft.data == data
    assert (config.problems, config.guidance, config.learner) == (hard.problems, hard.guidance, hard.learner)
