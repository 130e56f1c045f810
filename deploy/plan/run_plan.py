"""The plan of a run: split of the devices, memory, speed, stages, disk, Redis, lag, and what is wrong with it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from conf.rules.sizes import kept_rollouts, rollout_bytes
from conf.schema import RunConfig
from deploy.plan.machine import rank_device, start_s
from deploy.plan.memory import BYTES, FLOAT32, GIB, MemoryPlan, memory_plan
from deploy.plan.model_sizes import ModelSizes, sizes_of
from deploy.plan.problem_counts import ProblemCounts, count_problems
from deploy.plan.speed import mean_completion_tokens, mean_prompt_tokens
from deploy.plan.stages import Stage, stages_after, stages_before
from deploy.plan.training import TrainingPlan, training_plan

BUSY = 0.5
"""A learner that is busy for a smaller share of the time has too many ranks."""
ENGINES_BUSY = 0.8
FASTER = 0.95
"""Another split is proposed if its step takes at most this share of the time."""
LATE_S = 1800.0
"""Largest time to the first step without a warning, seconds."""
SEND_COPIES = 4
"""Sets of weights on /dev/shm and in main memory while they travel as files."""


ZeroStage = Literal[0, 2, 3]


@dataclass(frozen=True)
class Split:
    """Who has which devices."""

    engines: int
    gpus_per_engine: int
    ranks: int
    zero_stage: ZeroStage
    gpus: int
    """All; 0 on a CPU."""

    @classmethod
    def of(cls, config: RunConfig) -> "Split":
        actors, learner = config.actors, config.learner
        on_gpu = config.deploy.device == "cuda"
        gpus = actors.num_actors * actors.tensor_parallel + learner.num_ranks
        if config.deploy.share_gpu:
            gpus = 1
        return cls(
            actors.num_actors,
            actors.tensor_parallel if on_gpu else 0,
            learner.num_ranks,
            learner.zero_stage,
            gpus if on_gpu else 0,
        )

    def apply(self, config: RunConfig) -> RunConfig:
        return replace(
            config,
            actors=replace(config.actors, num_actors=self.engines),
            learner=replace(config.learner, num_ranks=self.ranks, zero_stage=self.zero_stage),
        )

    def __str__(self) -> str:
        return (
            f"actors.num_actors={self.engines} learner.num_ranks={self.ranks} learner.zero_stage={self.zero_stage}"
        )


@dataclass(frozen=True)
class Storage:
    """Disk, memory and Redis, bytes."""

    checkpoints: float
    """On disk: those that are kept, and one that is being written."""
    weights: float
    """One set of weights in the dtype of the model."""
    sent_weights: float
    """On /dev/shm and in main memory while weights travel as files; 0 with nccl."""
    stage_rollouts: float
    """On disk: the archives of the sampling stages."""
    redis_expected: float
    """With rollouts of mean length."""
    redis_most: float
    """With rollouts of the largest length."""
    redis_limit: float | None
    """None: an external server."""


@dataclass(frozen=True)
class RunPlan:
    """What a run will take. Nothing in it was measured."""

    config: RunConfig
    sizes: ModelSizes
    problems: ProblemCounts
    split: Split
    memory: MemoryPlan
    card_bytes: float | None
    """None on a CPU."""
    training: TrainingPlan
    start_s: float
    before: list[Stage]
    after: list[Stage]
    storage: Storage
    warnings: list[str]
    better: Split | None
    """Of the same number of GPUs, if one is clearly faster or the present one does not fit."""

    @property
    def first_step_s(self) -> float:
        """From the start to the end of the first optimizer step, seconds."""
        return self.start_s + 3600 * sum(stage.hours for stage in self.before) + self.training.first_batch_s

    @property
    def training_s(self) -> float:
        """All optimizer steps, the first batch included, seconds."""
        return self.training.first_batch_s + (self.training.steps - 1) * self.training.step_s

    @property
    def total_s(self) -> float:
        return self.start_s + 3600 * sum(stage.hours for stage in (*self.before, *self.after)) + self.training_s


def plan_run(config: RunConfig) -> RunPlan:
    """Raises UsageError when the model's sizes are not known, or its longest sequence does not fit the KV cache."""
    sizes, problems = sizes_of(config.model.path), count_problems(config)
    memory, training = memory_plan(config, sizes), training_plan(config, sizes)
    before, after = stages_before(config, sizes, problems), stages_after(config, sizes, problems)
    plan = RunPlan(
        config=config,
        sizes=sizes,
        problems=problems,
        split=Split.of(config),
        memory=memory,
        card_bytes=rank_device(config).memory_bytes,
        training=training,
        start_s=start_s(config),
        before=before,
        after=after,
        storage=_storage(config, sizes, [*before, *after]),
        warnings=[],
        better=better_split(config, sizes),
    )
    return replace(plan, warnings=list(_warnings(plan)))


def better_split(config: RunConfig, sizes: ModelSizes) -> Split | None:
    """The split of the same GPUs with the shortest step, if it is clearly better than the present one."""
    present = Split.of(config)
    if config.deploy.device != "cuda" or config.deploy.share_gpu:
        return None
    steps = {split: training_plan(split.apply(config), sizes).step_s for split in _splits(config, sizes, present)}
    if not steps:
        return None
    best = min(steps, key=lambda split: (steps[split], split.ranks, split.zero_stage))
    if present not in steps:
        return best
    return best if steps[best] < FASTER * steps[present] else None


def _splits(config: RunConfig, sizes: ModelSizes, present: Split) -> Iterator[Split]:
    """All that fit: the present ZeRO stage first, and stage 3 where that does not fit."""
    card = rank_device(config).memory_bytes or 0.0
    for ranks in range(1, min(present.gpus, config.learner.batch_samples + 1)):
        engines = (present.gpus - ranks) // present.gpus_per_engine
        stages: tuple[ZeroStage, ZeroStage] = (present.zero_stage, 3)
        for stage in stages:
            split = Split(engines, present.gpus_per_engine, ranks, stage, present.gpus)
            if engines and memory_plan(split.apply(config), sizes).learner_fits(card):
                yield split
                break


def _storage(config: RunConfig, sizes: ModelSizes, stages: list[Stage]) -> Storage:
    width = BYTES[config.model.dtype]
    # Weights for others, DeepSpeed's copy of them, two moments, and the master weights of a bfloat16 model.
    checkpoint = sizes.parameters * (2 * width + 2 * FLOAT32 + (FLOAT32 if width < FLOAT32 else 0))
    weights = float(width * sizes.parameters)
    redis = [
        kept_rollouts(config) * rollout_bytes(config, prompt_tokens=prompt, completion_tokens=completion)
        for prompt, completion in (
            (mean_prompt_tokens(config), mean_completion_tokens(config, config.actors.sampling)),
            (config.actors.max_prompt_tokens, config.actors.max_completion_tokens),
        )
    ]
    return Storage(
        checkpoints=float(checkpoint * (config.learner.keep_checkpoints + 1)),
        weights=weights,
        sent_weights=SEND_COPIES * weights if config.weights.backend == "file" else 0.0,
        stage_rollouts=8.0 * sum(stage.tokens for stage in stages if stage.rollouts),
        redis_expected=redis[0],
        redis_most=redis[1],
        redis_limit=config.broker.max_memory_gib * GIB if config.broker.url is None else None,
    )


def _warnings(plan: RunPlan) -> Iterator[str]:
    config, training, card = plan.config, plan.training, plan.card_bytes
    proposal = f"; better: {plan.better}" if plan.better else ""
    if card is not None and not plan.memory.learner_fits(card):
        yield (
            f"a learner rank needs {plan.memory.learner_bytes / GIB:.0f} GiB and has "
            f"{card * (1 - plan.memory.engine_share if plan.memory.shared else 1) / GIB:.0f} GiB: use more ranks with "
            f"learner.zero_stage=3, or lower learner.row_tokens or learner.logprob_chunk_tokens{proposal}"
        )
    elif training.waits == "the learner" and training.learner_busy < BUSY and card is not None:
        yield f"the learner is busy for {training.learner_busy:.0%} of the time and waits for the engines{proposal}"
    elif training.waits == "the engines" and training.engines_busy < ENGINES_BUSY and card is not None:
        yield f"the engines are needed for {training.engines_busy:.0%} of the time and wait for the learner{proposal}"
    elif plan.better:
        yield f"another split of the GPUs is faster: {plan.better}"
    if config.actors.max_num_seqs > training.engine.fitting_sequences:
        yield (
            f"the KV cache of an engine holds {training.engine.fitting_sequences} sequences of "
            f"{training.engine.context_tokens:,.0f} tokens, and actors.max_num_seqs={config.actors.max_num_seqs} would "
            "preempt some and compute them again: lower the second to the first"
        )
    if card is not None and config.learner.max_lag and training.lag_oldest >= config.learner.max_lag:
        yield (
            f"long rollouts reach learner.max_lag={config.learner.max_lag} before they are trained, so groups become "
            "stale and engines wait: raise it, or lower actors.max_num_seqs"
        )
    if plan.first_step_s > LATE_S:
        longest = max(plan.before, key=lambda stage: stage.hours, default=None)
        cause = f"; {longest.name} takes {longest.hours:.1f} h of it" if longest else ""
        yield (
            f"the first optimizer step comes after {plan.first_step_s / 3600:.1f} h{cause}: set "
            "evaluation.before=false or evaluation.max_problems, and search guidance before, by pope mine --guidance"
        )
