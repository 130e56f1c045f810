"""How training, mining and evaluation sample, and the longest sequence of an engine that does it."""

from conf.load import load
from conf.schema import Sampling

OWN = [
    "actors.temperature=0.8", "actors.max_completion_tokens=100", "actors.max_prompt_tokens=50",
    "mining.max_completion_tokens=300", "evaluation.max_completion_tokens=200", "evaluation.temperature=0.6",
    "top_p=0.95", "top_k=20",
]  # fmt: skip


def test_by_default_mining_and_evaluation_sample_as_training_does() -> None:
    config = load(None, ["actors.temperature=0.8", "actors.max_completion_tokens=100"])
    assert config.actors.sampling == Sampling(0.8, 1.0, None, 100)
    assert config.mining_sampling == config.evaluation_sampling == config.actors.sampling


def test_mining_has_a_budget_of_its_own_and_evaluation_a_distribution_too() -> None:
    config = load(None, OWN)
    assert config.actors.sampling == Sampling(0.8, 1.0, None, 100), "ratios need the full distribution"
    assert config.mining_sampling == Sampling(0.8, 1.0, None, 300)
    assert config.evaluation_sampling == Sampling(0.6, 0.95, 20, 200)


def test_an_engine_is_as_long_as_the_longest_of_what_its_command_samples() -> None:
    config = load(None, OWN)
    assert config.engine_tokens(config.run_samplings) == 50 + 200, "pope train does not mine"
    assert config.engine_tokens([config.mining_sampling, config.actors.sampling]) == 50 + 300
    assert config.engine_tokens([config.evaluation_sampling]) == 50 + 200
    shorter = load(None, ["actors.max_completion_tokens=100", "evaluation.max_completion_tokens=20"])
    assert shorter.engine_tokens(shorter.run_samplings) == shorter.actors.max_model_tokens
    assert shorter.engine_tokens([shorter.evaluation_sampling]) == shorter.actors.max_prompt_tokens + 20


def test_sampling_in_words() -> None:
    assert str(Sampling(0.8, 1.0, None, 32768)) == "temperature 0.8, at most 32,768 tokens"
    assert str(Sampling(0.6, 0.95, 20, 100)) == "temperature 0.6, top-p 0.95, top-k 20, at most 100 tokens"
