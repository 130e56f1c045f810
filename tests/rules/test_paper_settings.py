"""The full-scale experiments row by row against table 4 of the paper, its problem sets and its sections."""

from collections.abc import Callable
from typing import Any

import pytest

from actors.problems.mixture import ARM_BUCKET
from conf.layers import shipped
from conf.load import load
from conf.names import flat
from conf.schema import RunConfig, Sampling
from conf.sweep_file import read_sweep
from deploy.cluster.placement import demands
from deploy.sweep.plan import plan_sweep

PAPER = (
    "hard", "hard_guide", "hard_easy", "hard_guide_easy", "hard_easy_1k", "hard_guide_easy_1k", "hard_easier",
    "entropy_bonus", "clip_high", "pass_at_k", "modified_instruction", "sft_full_oracle", "sft_prefix", "luffy",
    "verl_style", "pipelinerl", "didactic",
)  # fmt: skip
"""What a user can run by the paper's name."""
EXPERIMENTS = tuple(name for name in shipped("experiment") if not name.startswith("real"))
"""The paper's; `real*` are of a real language model on a laptop (docs/real.md)."""
SWEEPS = tuple(name for name in shipped("sweep") if not name.startswith("real"))
DIDACTIC = tuple(name for name in EXPERIMENTS if name.startswith("didactic"))

TABLE_4: dict[str, tuple[Any, Callable[[RunConfig], Any]]] = {
    "max prompt length": (2048, lambda config: config.actors.max_prompt_tokens),
    "max response length": (16384, lambda config: config.actors.max_completion_tokens),
    "sampling temperature": (0.8, lambda config: config.actors.temperature),
    "clip ratio (low / high)": ((0.0, 5.0), lambda config: (config.learner.ratio_min, config.learner.ratio_max)),
    "train batch size": (32, lambda config: config.learner.batch_samples),
    "learning rate": (1e-6, lambda config: config.learner.learning_rate),
    "total training steps": (1000, lambda config: config.run.max_steps),
    "num. GPUs": (8, lambda config: sum(demand.num_gpus for demand in demands(config))),
    "rollouts per prompt": (8, lambda config: config.actors.group_size),
    "ring buffer size": (128, lambda config: config.broker.ring.capacity),
}
"""Row -> its value, and where our settings hold it."""

DEPARTURES: dict[tuple[str, str], Any] = {
    ("clip ratio (low / high)", "verl_style"): (0.8, 1.28),  # section 6
    ("clip ratio (low / high)", "clip_high"): (0.8, 1.28),  # section 3.1 names DAPO
    ("clip ratio (low / high)", "clip_high_1"): (0.8, 2.0),
    ("clip ratio (low / high)", "clip_high_4"): (0.8, 5.0),
    ("rollouts per prompt", "pass_at_8"): 16,  # k below the number of rollouts
    ("train batch size", "didactic"): 8,  # figure 5: one prompt a step ...
    **{("train batch size", name): 16 for name in DIDACTIC if name != "didactic"},  # ... of each problem
}
"""(row, experiment) -> what the paper has there instead."""

SETS = {
    **{key: {"hard": 256} for key in EXPERIMENTS},
    **{key: {"hard": 256, "easy": 256} for key in ("hard_easy", "hard_guide_easy")},
    **{key: {"hard": 256, "easy": 1000} for key in ("hard_easy_1k", "hard_guide_easy_1k")},
    "hard_easier": {"hard": 256, "easier": 256},
    **{key: {"hard": 1} for key in ("didactic", "didactic_guide")},
    **{key: {"hard": 1, "easier": 1} for key in ("didactic_unrelated", "didactic_related")},
}
"""Experiment -> bucket -> problems (sections 3.2 and 6)."""

OBJECTIVES = {
    "entropy_bonus": {
        "learner.entropy_coef", "learner.kl_coef", "preprocess.drop_zero_advantage",
        "actors.num_actors", "preprocess.num_workers",  # the penalty's reference model takes one of the GPUs
    },
    **{
        name: {"learner.policy_loss", "learner.ratio_min", "learner.ratio_max"}
        for name in ("clip_high", "clip_high_1")
    },
    "clip_high_4": {"learner.policy_loss", "learner.ratio_min"},
    **{name: {"preprocess.advantage"} for name in ("pass_at_k", "pass_at_4")},  # 4 is the default
    "pass_at_2": {"preprocess.advantage", "preprocess.pass_k"},
    "pass_at_8": {"preprocess.advantage", "preprocess.pass_k", "actors.group_size"},
    "luffy": {"actors.oracle_member"},
    **{name: {"sft.data"} for name in ("sft_full_oracle", "sft_prefix")},
    **{name: {"sft.data", "sft.epochs"} for name in ("sft_full_oracle_30", "sft_prefix_30")},
}  # fmt: skip
"""Experiment -> all settings in which it departs from `hard` at full scale, but for its name."""


def full_scale(experiment: str) -> RunConfig:
    return load(None, [f"experiment={experiment}", "hardware=node8"])


def test_every_experiment_of_the_paper_has_a_name() -> None:
    assert set(PAPER) <= set(EXPERIMENTS)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_full_scale_experiment_holds_table_4(experiment: str) -> None:
    config = full_scale(experiment)
    found = {row: value_of(config) for row, (_, value_of) in TABLE_4.items()}
    assert found == {row: DEPARTURES.get((row, experiment), value) for row, (value, _) in TABLE_4.items()}
    assert config.model.path == "Qwen/Qwen3-4B-Instruct-2507"


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_full_scale_experiment_mines_and_evaluates_with_32k_tokens(experiment: str) -> None:
    """Section 2 and figure 10: mining and evaluation run to 32k tokens, training to 16k; one temperature for all."""
    config = full_scale(experiment)
    assert config.mining_sampling == config.evaluation_sampling == Sampling(0.8, 1.0, None, 32768)
    assert config.actors.sampling == Sampling(0.8, 1.0, None, 16384)
    assert config.engine_tokens(config.run_samplings) == 2048 + 32768
    assert config.learner.row_tokens == 2048 + 16384


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_full_scale_experiment_draws_sets_of_the_papers_size(experiment: str) -> None:
    problems = full_scale(experiment).problems
    drawn = {"hard"} | {ARM_BUCKET[arm] for arm, weight in problems.arms.items() if weight}
    assert {bucket: problems.limit[bucket] for bucket in drawn} == SETS[experiment]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_problem_is_drawn_alike(experiment: str) -> None:
    """Weights follow the sizes of the sets: of 256 and 1,000 problems 1:4 are drawn."""
    arms, sizes = full_scale(experiment).problems.arms, SETS[experiment]
    for arm, weight in arms.items():
        assert weight == round(sizes[ARM_BUCKET[arm]] / sizes["hard"])


@pytest.mark.parametrize(
    ("experiment", "settings"),
    [
        ("entropy_bonus", {"learner.entropy_coef": 0.01, "learner.kl_coef": 0.001}),
        ("clip_high", {"learner.policy_loss": "ppo_clip"}),
        ("pass_at_k", {"preprocess.pass_k": 4, "preprocess.pass_k_baseline": "mean", "actors.group_size": 8}),
        ("pass_at_8", {"preprocess.pass_k": 8, "preprocess.pass_k_baseline": "mean", "actors.group_size": 16}),
        ("pass_at_4", {"preprocess.advantage": "pass_at_k", "preprocess.pass_k": 4}),
        ("pass_at_2", {"preprocess.advantage": "pass_at_k", "preprocess.pass_k": 2}),
        ("modified_instruction", {"guidance.instruction": "modified"}),
        ("luffy", {"actors.oracle_member": True, "learner.luffy_gamma": 0.1}),
        ("verl_style", {"learner.policy_loss": "ppo_clip", "learner.max_lag": 1, "learner.dual_clip": 3.0}),
        ("pipelinerl", {"learner.policy_loss": "truncated_is", "learner.loss_aggregation": "sequence_sum"}),
        ("pipelinerl", {"preprocess.advantage": "leave_one_out", "learner.gradient_clip": 0.3}),
        ("didactic_related", {"problems.easy_kind": "related", "learner.max_lag": 0}),
    ],
)
@pytest.mark.parametrize("hardware", ["cpu", "node8"])
def test_an_experiment_is_what_its_section_says(experiment: str, settings: dict[str, Any], hardware: str) -> None:
    config = load(None, [f"experiment={experiment}", f"hardware={hardware}"])
    for name, value in settings.items():
        section, _, key = name.partition(".")
        assert getattr(getattr(config, section), key) == value, name


@pytest.mark.parametrize("experiment", OBJECTIVES)
def test_what_is_compared_with_hard_differs_in_its_objective_alone(experiment: str) -> None:
    ours, hard = flat(full_scale(experiment)), flat(full_scale("hard"))
    assert {name for name in ours if ours[name] != hard[name]} == {"run.name", *OBJECTIVES[experiment]}


@pytest.mark.parametrize("hardware", ["cpu", "node8"])
@pytest.mark.parametrize("name", SWEEPS)
def test_every_sweep_that_ships_can_be_planned(name: str, hardware: str) -> None:
    plan = plan_sweep([name, f"hardware={hardware}"])
    file = read_sweep(shipped("sweep")[name])
    assert [(run.seed, run.experiment) for run in plan.runs] == file.runs
    assert plan.folder.name == name
    assert name not in EXPERIMENTS, "a name is an experiment or a sweep"
    assert all((run.config.run.max_steps == 1000) == (hardware == "node8") for run in plan.runs)


def test_the_sweeps_compare_what_the_paper_compares() -> None:
    compared = {*read_sweep(shipped("sweep")["paper"]).experiments, "didactic"}
    assert compared == {
        "hard", "hard_easy", "hard_guide", "hard_guide_easy", "entropy_bonus", "clip_high", "pass_at_k",
        "modified_instruction", "sft_full_oracle", "sft_prefix", "didactic",
    }  # fmt: skip
    assert set(read_sweep(shipped("sweep")["figure5"]).experiments) == set(DIDACTIC)
