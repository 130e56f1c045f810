"""Rollouts, tokens and hours of the stages of a run, in their order. Pure."""

from dataclasses import dataclass

from conf.schema import RunConfig, Sampling
from deploy.plan.machine import rank_device
from deploy.plan.model_sizes import ModelSizes
from deploy.plan.problem_counts import ProblemCounts
from deploy.plan.speed import ATTENTION_FLOPS, TRAINED_FLOPS, engine_speed, mean_completion_tokens


@dataclass(frozen=True)
class Stage:
    """A part of a run before or after the optimizer steps."""

    name: str
    rollouts: int
    tokens: float
    """Generated, or trained by fine-tuning."""
    hours: float
    at_most: bool = False
    """Whether the number of rollouts is a bound: the stage ends earlier if rollouts succeed."""


def stages_before(config: RunConfig, sizes: ModelSizes, problems: ProblemCounts) -> list[Stage]:
    """Everything between the start of the roles and the first group for training."""
    stages: list[Stage] = []
    guided = config.problems.arms.get("guided", 0) > 0
    searched = problems.without_guidance if config.uses_guidance and config.guidance.search else 0
    if config.evaluation.before:
        stages.append(_measurement(config, sizes, problems, "measure unguided before"))
    if searched:
        prefixes = config.guidance.num_prefixes - 1
        rollouts = searched * prefixes * config.guidance.samples
        stages.append(_sampled(config, sizes, "choose guidance", rollouts, config.actors.sampling, at_most=True))
    if config.evaluation.before and guided:
        stages.append(_measurement(config, sizes, problems, "measure guided before"))
    if config.sft.enabled:
        stages += _fine_tuning(config, sizes, problems)
        if config.evaluation.before:
            arms = ("unguided", "guided") if guided else ("unguided",)
            stages += [_measurement(config, sizes, problems, f"measure {arm} after fine-tuning") for arm in arms]
    return stages


def stages_after(config: RunConfig, sizes: ModelSizes, problems: ProblemCounts) -> list[Stage]:
    """The measurements of the trained policy."""
    arms = ("unguided", "guided") if config.problems.arms.get("guided", 0) > 0 else ("unguided",)
    stages = [_measurement(config, sizes, problems, f"measure {arm} after") for arm in arms]
    if held_out := config.evaluation.num_held_out:
        rollouts = held_out * config.evaluation.samples
        stages.append(_sampled(config, sizes, "measure unseen problems", rollouts, config.evaluation_sampling))
    return stages


def sampling_s(config: RunConfig, sizes: ModelSizes, rollouts: float, sampling: Sampling) -> float:
    """Time of all engines for these rollouts, seconds: tokens / their speed, but at least one longest rollout."""
    speed = engine_speed(config, sizes, sampling)
    tokens = rollouts * mean_completion_tokens(config, sampling)
    return max(tokens / (config.actors.num_actors * speed.tokens_per_s), sampling.max_completion_tokens * speed.step_s)


def _measurement(config: RunConfig, sizes: ModelSizes, problems: ProblemCounts, name: str) -> Stage:
    limit = config.evaluation.max_problems
    measured = problems.hard if limit is None else min(limit, problems.hard)
    return _sampled(config, sizes, name, measured * config.evaluation.samples, config.evaluation_sampling)


def _sampled(
    config: RunConfig, sizes: ModelSizes, name: str, rollouts: int, sampling: Sampling, *, at_most: bool = False
) -> Stage:
    tokens = rollouts * mean_completion_tokens(config, sampling)
    return Stage(name, rollouts, tokens, sampling_s(config, sizes, rollouts, sampling) / 3600, at_most)


def _fine_tuning(config: RunConfig, sizes: ModelSizes, problems: ProblemCounts) -> list[Stage]:
    """One demonstration for each hard problem and completion, of mean length; for a file of demonstrations likewise."""
    sft = config.sft
    stages, demonstrations = [], problems.hard
    if sft.data == "prefix":
        rollouts = problems.hard * sft.max_samples
        stages = [_sampled(config, sizes, "sample completions", rollouts, config.actors.sampling, at_most=True)]
        demonstrations *= sft.completions
    length = config.plan.length_share * sft.max_tokens
    tokens = sft.epochs * demonstrations * length
    dense = TRAINED_FLOPS * (sizes.body_parameters + sizes.head_parameters)
    flops = tokens * (dense + ATTENTION_FLOPS * sizes.attention_width * sft.max_tokens / 2)
    seconds = flops / (sft.num_ranks * rank_device(config).flops * config.plan.mfu)
    return [*stages, Stage("fine-tune", 0, tokens, seconds / 3600)]
