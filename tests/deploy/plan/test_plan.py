"""The plan of a run against hand calculations, FLOPs counted token by token, and a measured run of the toy."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from broker.errors import UsageError
from conf.load import dump, load
from conf.schema import RunConfig
from deploy.cli import app
from deploy.plan.memory import GIB
from deploy.plan.model_sizes import KNOWN, ModelSizes, sizes_of
from deploy.plan.problem_counts import count_problems
from deploy.plan.run_plan import RunPlan, plan_run
from deploy.plan.speed import engine_speed, learner_speed

README = Path(__file__).parents[3] / "README.md"
QWEN3_4B = {
    "hidden_size": 2560, "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
    "intermediate_size": 9728, "vocab_size": 151936, "tie_word_embeddings": True,
}  # fmt: skip
LAYER = 2 * 2560 * 32 * 128 + 2 * 2560 * 8 * 128 + 3 * 2560 * 9728
HEAD = 151936 * 2560
PARAMETERS = 36 * LAYER + HEAD
KV_BYTES = 147_456
"""2 * 36 layers * 8 KV heads * 128 * 2 bytes."""


def node8(*words: str) -> RunConfig:
    return load(None, ["hardware=node8", *words])


def planned(*words: str) -> RunPlan:
    return plan_run(node8(*words))


def write_model(folder: Path, **changes: Any) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(QWEN3_4B | changes))
    return folder


# Engines


def test_the_kv_cache_of_a_4b_engine_on_80_gb() -> None:
    plan = planned()
    assert plan.memory.kv_bytes == 2 * 36 * 8 * 128 * 2 == KV_BYTES
    left = 0.9 * 80e9 - 2 * PARAMETERS - 3 * 4 * 40 * 151936 - 1.5 * GIB
    engine = plan.training.engine
    assert engine.kv_tokens == int(left // KV_BYTES) == pytest.approx(422_000, rel=0.01)
    assert engine.context_tokens == 2048 / 2 + 16384 / 2
    assert engine.fitting_sequences == engine.kv_tokens // 9216 == 45
    assert engine.fitting_longest == engine.kv_tokens // (2048 + 16384) == 22


def test_a_decode_step_reads_the_weights_and_the_cache_of_what_runs() -> None:
    engine = planned().training.engine
    read = 2 * PARAMETERS + 40 * 9216 * KV_BYTES
    assert engine.sequences == 40
    assert engine.step_s == pytest.approx(0.004 + read / (0.7 * 3.35e12))
    assert engine.tokens_per_s == pytest.approx(40 / engine.step_s) == pytest.approx(1300, rel=0.02)


def test_a_running_sequence_has_written_at_most_half_of_the_longest_on_average() -> None:
    """The claim of `context_tokens`: E[L^2] / (2 E[L]) <= M / 2 for every distribution of lengths up to M."""
    generator = np.random.default_rng(0)
    extremes = [np.array([100] * number + [1] * (100 - number)) for number in (1, 60, 100)]
    for lengths in (generator.integers(1, 101, 10_000), *extremes):
        written = np.concatenate([np.arange(length) for length in lengths])  # at each step of each rollout
        assert written.mean() == pytest.approx(((lengths**2).sum() - lengths.sum()) / (2 * lengths.sum()))
        assert written.mean() <= 100 / 2


def test_the_lag_bound_limits_what_engines_have_in_flight() -> None:
    assert planned("max_lag=0").training.engine.sequences == 1 * 32 // 6
    assert planned("max_lag=2").training.engine.sequences == 3 * 32 // 6
    assert planned("max_lag=null").training.engine.sequences == 40


def test_a_cache_that_is_too_small_for_the_longest_sequence_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"holds .* tokens and the longest sequence is 18,432: raise actors\.gpu_mem"):
        planned("gpu_memory_utilization=0.15")


# Learner


def counted_flops(prompt: int, rollouts: int, length: int) -> float:
    """Of a prompt and its rollouts in one row, token by token: 2 FLOPs a parameter and 4 a key, head and number of a
    head, forward; three times as much with the backward pass. The head is applied to the tokens of rollouts."""
    keys = np.arange(1, prompt + 1).sum() + rollouts * np.arange(prompt + 1, prompt + length + 1).sum()
    dense = 36 * LAYER * (prompt + rollouts * length) + HEAD * rollouts * length
    return 3.0 * (2 * dense + 4 * 36 * 32 * 128 * keys)


def test_the_flops_of_a_rollout_are_those_of_its_tokens() -> None:
    config = node8("plan.length_share=1")  # all rollouts are the longest: the bound of the context is exact
    found = learner_speed(config, ModelSizes.of(QWEN3_4B)).flops_per_rollout
    assert found == pytest.approx(counted_flops(2048, 1, 16384), rel=1e-3)


def test_rollouts_in_one_row_share_their_prompt() -> None:
    config = node8("actors.max_completion_tokens=1024", "plan.length_share=1")  # 16 fit beside a prompt, a group has 8
    found = learner_speed(config, ModelSizes.of(QWEN3_4B)).flops_per_rollout
    assert found == pytest.approx(counted_flops(2048, 8, 1024) / 8, rel=1e-3)


def test_the_speed_of_the_learner_is_its_share_of_the_peak() -> None:
    speed = learner_speed(node8("plan.mfu=0.2"), ModelSizes.of(QWEN3_4B))
    assert speed.rollouts_per_s == pytest.approx(2 * 989e12 * 0.2 / speed.flops_per_rollout)


# Steps and stages


def test_a_step_takes_as_long_as_its_slower_side_and_in_turns_as_long_as_both() -> None:
    training = planned().training
    assert training.generated_tokens == 32 * 8192 / 0.5
    assert training.generate_s == pytest.approx(training.generated_tokens / (6 * training.engine.tokens_per_s))
    assert training.step_s == max(training.generate_s, training.learn_s)
    assert training.waits == "the learner"
    turns = planned("max_lag=0").training
    assert turns.step_s == turns.generate_s + turns.learn_s
    assert turns.waits == "each in turn"
    assert turns.lag_oldest == 0
    assert planned("plan.mfu=0.01").training.waits == "the engines"


def test_groups_that_are_not_dropped_need_no_others() -> None:
    assert planned("drop_zero_advantage=false").training.generated_tokens == 32 * 8192


def test_a_measurement_takes_problems_times_samples() -> None:
    first, *_, last = (plan := planned("evaluation.before=true")).before
    assert (first.name, last.name) == ("measure unguided before", "measure guided before")
    assert first.rollouts == 256 * 64
    assert first.tokens == 256 * 64 * 32768 / 2
    speed = engine_speed(plan.config, plan.sizes, plan.config.evaluation_sampling)
    assert speed.context_tokens == 1024 + 16384
    assert first.hours == pytest.approx(first.tokens / (6 * speed.tokens_per_s) / 3600)
    few = planned("evaluation.before=true", "evaluation.max_problems=4").before[0]
    assert few.rollouts == 4 * 64
    assert planned().before == []


def test_a_search_tries_every_prefix_of_the_problems_without_guidance_at_most() -> None:
    (search,) = planned("guidance.search=true").before
    assert search.at_most
    assert search.rollouts == 256 * 7 * 32


def test_fine_tuning_counts_its_completions_and_its_demonstrations() -> None:
    sampled, tuned = planned("experiment=sft_prefix").before
    assert sampled.rollouts == 256 * 128
    assert tuned.tokens == 3 * 256 * 16384 / 2


def test_the_first_step_comes_after_the_start_the_stages_and_the_longest_rollout() -> None:
    plan = planned("guidance.search=true")
    waited = 16384 * plan.training.engine.step_s + plan.training.learn_s
    assert plan.first_step_s == pytest.approx(300 + 3600 * plan.before[0].hours + waited)
    assert planned("plan.start_s=0").first_step_s == pytest.approx(waited)


def test_disk_and_redis() -> None:
    storage = planned().storage
    assert storage.checkpoints == 3 * 16 * PARAMETERS  # 2 + 2 weights, 4 master, 8 moments
    rollouts = 2 * 50 * 32 + 128 + 16 * 8
    assert storage.redis_most == rollouts * (8 * 16384 + 4 * 2048 / 8)
    assert storage.redis_expected == rollouts * (8 * 8192 + 4 * 1024 / 8)
    assert storage.redis_limit == 16 * GIB
    assert storage.sent_weights == 0


# What ships


def test_the_first_step_of_node8_comes_within_half_an_hour_and_nothing_is_wrong_with_its_split() -> None:
    plan = planned()
    assert plan.first_step_s < 1800
    assert plan.config.actors.max_num_seqs <= plan.training.engine.fitting_sequences
    assert plan.training.learner_busy > 0.5
    assert plan.training.lag_oldest < plan.config.learner.max_lag
    assert plan.memory.learner_fits(80e9)
    assert plan.better is None
    assert plan.warnings == []


def test_half_of_the_gpus_for_the_learner_is_a_bad_split() -> None:
    plan = planned("num_actors=4", "learner.num_ranks=4", "max_num_seqs=256", "evaluation.before=true")
    assert plan.training.learner_busy < 0.25
    assert plan.better is not None
    assert (plan.better.engines, plan.better.ranks, plan.better.zero_stage) == (6, 2, 3)
    split, sequences, late = plan.warnings
    assert "better: actors.num_actors=6 learner.num_ranks=2 learner.zero_stage=3" in split
    assert "holds 45 sequences of 9,216 tokens, and actors.max_num_seqs=256 would preempt" in sequences
    assert "the first optimizer step comes after" in late
    assert "set evaluation.before=false" in late


def test_a_learner_that_does_not_fit_is_named_with_a_split_that_does() -> None:
    plan = planned("num_actors=7", "learner.num_ranks=1")
    assert plan.memory.learner_bytes > 80e9
    assert "a learner rank needs" in plan.warnings[0]
    assert "better: actors.num_actors=6 learner.num_ranks=2 learner.zero_stage=3" in plan.warnings[0]


def test_a_proposal_is_as_fast_as_it_says() -> None:
    plan = planned("num_actors=4", "learner.num_ranks=4")
    assert plan.better is not None
    assert plan_run(plan.better.apply(plan.config)).training.step_s < 0.7 * plan.training.step_s


def seconds_of_the_shown_run(stage: str) -> float:
    found = re.search(rf"^  {stage} \((\d+\.\d) s\)", README.read_text(), re.MULTILINE)
    assert found, stage
    return float(found[1])


def test_the_estimates_for_the_toy_are_within_a_factor_of_three_of_the_run_that_the_readme_shows() -> None:
    plan = plan_run(load(None, []))
    measurement, search, _ = plan.before
    for estimate, stage in (
        (3600 * measurement.hours, "measure unguided before"), (3600 * search.hours, "choose guidance"),
        (plan.training_s, "train"),
    ):  # fmt: skip
        assert 1 / 3 < estimate / seconds_of_the_shown_run(stage) < 3, stage


# Problems and models


def test_problems_are_counted_in_a_file_that_is_there(tmp_path: Path) -> None:
    file = tmp_path / "problems.jsonl"
    guided, plain = {"guidance": "1"}, {}
    rows = [
        {"problem": f"{i}+1?", "answer": f"{i + 1}", "solution": f"\\boxed{{{i + 1}}}", "bucket": bucket} | more
        for i, (bucket, more) in enumerate([("hard", guided), ("hard", plain), ("hard", plain), ("easy", plain)])
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    counted = count_problems(node8(f"problems.source={file}"))
    assert (counted.hard, counted.without_guidance) == (3, 2)
    assert count_problems(node8(f"problems.source={file}", "problems.limit={hard: 1}")).hard == 1


def test_sizes_come_from_config_json_or_are_known_by_name(tmp_path: Path) -> None:
    local = sizes_of(str(write_model(tmp_path / "model")))
    assert local == sizes_of("Qwen/Qwen3-4B-Instruct-2507") == ModelSizes.of(QWEN3_4B)
    assert local.parameters == PARAMETERS
    toy = sizes_of("builtin:tiny")
    assert toy.parameters == 3 * (2 * 128 * 128 + 2 * 128 * 64 + 3 * 128 * 256) + 1024 * 128
    assert sizes_of("builtin:smollm2-135m").parameters == pytest.approx(134.5e6, rel=1e-3)


def test_a_model_whose_sizes_cannot_be_known_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"hf download somebody/unknown config\.json"):
        sizes_of("somebody/unknown")
    with pytest.raises(UsageError, match=r"a plan is for dense models, and its config\.json names num_experts"):
        sizes_of(str(write_model(tmp_path / "moe", num_experts=8)))
    with pytest.raises(UsageError, match=r"needs intermediate_size in its config\.json"):
        sizes_of(str(write_model(tmp_path / "odd", intermediate_size=None)))


@pytest.mark.parametrize("name", KNOWN)
def test_every_known_model_can_be_planned(name: str) -> None:
    assert sizes_of(name).parameters > 1e8


# The commands


def test_pope_plan_prints_its_numbers_as_json() -> None:
    result = CliRunner().invoke(app, ["plan", "hardware=node8", "--json"])
    found = json.loads(result.stdout)
    assert found["measured"] is False
    assert found["engine"]["kv_bytes_per_token"] == KV_BYTES
    assert found["first_step_s"] < 1800
    assert found["split"] == {"engines": 6, "gpus_per_engine": 1, "ranks": 2, "zero_stage": 3, "gpus": 8}


def test_a_table_and_the_comments_of_a_dry_run_say_the_same() -> None:
    table = CliRunner().invoke(app, ["plan", "hardware=node8"]).stdout
    dry = CliRunner().invoke(app, ["train", "hardware=node8", "--dry-run"]).stdout
    for text in (table, dry):
        for words in ("Nothing here was measured", "147,456 B", "first step done after", "oldest token 8.0"):
            assert words in text
    assert yaml.safe_load(dry) == yaml.safe_load(dump(load(None, ["experiment=pope", "hardware=node8"])))


def test_a_dry_run_without_a_plan_says_why() -> None:
    words = ["train", "model.path=somebody/unknown", "problems.source=a.jsonl", "hardware=cpu", "--dry-run"]
    dry = CliRunner().invoke(app, words)
    assert dry.exit_code == 0
    assert "# no plan: the sizes of model.path=somebody/unknown are not known here" in dry.stdout
