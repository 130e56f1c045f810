"""A plan as a table, as comments under the settings of a dry run, and as JSON."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.table import Table

from deploy.plan.memory import GIB
from deploy.plan.run_plan import RunPlan
from deploy.plan.stages import Stage
from deploy.view.screen import Screen

Rows = Iterator[tuple[str, str, str]]
"""(subject, value, how it comes about)"""
NOTICE = "Planned from settings and data sheets by the formulas of docs/plan.md. Nothing here was measured."


def print_plan(console: Screen, plan: RunPlan) -> None:
    """The table, and the warnings below it."""
    console.print(NOTICE, soft_wrap=True)
    for title, rows in _sections(plan):
        table = Table(title=title, title_justify="left", show_header=False)
        table.add_column()
        table.add_column(justify="right")
        table.add_column()
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for warning in plan.warnings:
        console.print(f"warning: {warning}", soft_wrap=True)


def plan_lines(plan: RunPlan) -> Iterator[str]:
    """The same as lines of text."""
    yield NOTICE
    for title, rows in _sections(plan):
        yield f"{title}:"
        yield from (f"  {subject}: {value}{f' ({how})' if how else ''}" for subject, value, how in rows)
    yield from (f"warning: {warning}" for warning in plan.warnings)


def plan_json(plan: RunPlan) -> dict[str, Any]:
    """All numbers, with their units in their names."""
    training, memory, storage = plan.training, plan.memory, plan.storage
    return {
        "measured": False,
        "model": {"path": plan.config.model.path, **asdict(plan.sizes)},
        "assumptions": asdict(plan.config.plan),
        "problems": asdict(plan.problems),
        "split": asdict(plan.split),
        "better_split": asdict(plan.better) if plan.better else None,
        "engine": {
            "memory_bytes": dict(memory.engine),
            "kv_bytes_per_token": memory.kv_bytes,
            **asdict(training.engine),
            "tokens_per_s": training.engine.tokens_per_s,
        },
        "learner": {
            "memory_bytes": dict(memory.learner),
            "total_bytes": memory.learner_bytes,
            "card_bytes": plan.card_bytes,
            **asdict(training.learner),
        },
        "stages": [asdict(stage) for stage in (*plan.before, *plan.after)],
        "training": {
            **{name: value for name, value in asdict(training).items() if name not in ("engine", "learner")},
            "learner_busy": training.learner_busy,
            "engines_busy": training.engines_busy,
        },
        "start_s": plan.start_s,
        "first_step_s": plan.first_step_s,
        "training_s": plan.training_s,
        "total_s": plan.total_s,
        "storage_bytes": asdict(storage),
        "warnings": plan.warnings,
    }


def _sections(plan: RunPlan) -> Iterator[tuple[str, Rows]]:
    yield "devices", _devices(plan)
    yield "engine", _engine(plan)
    yield "learner rank", _learner(plan)
    yield "stages", _stages(plan)
    yield "optimizer steps", _training(plan)
    yield "disk and Redis", _storage(plan)


def _devices(plan: RunPlan) -> Rows:
    config, split = plan.config, plan.split
    sizes = plan.sizes
    yield "model", config.model.path, f"{sizes.parameters / 1e9:.3g} B parameters, {config.model.dtype}"
    where = f"{split.gpus} x {config.plan.gpu}" if split.gpus else "CPU"
    shared = ", shared by both" if config.deploy.share_gpu else ""
    yield "devices", where, f"{split.engines} engine(s), {split.ranks} learner rank(s){shared}"
    yield "hard problems", f"{plan.problems.hard:,}", plan.problems.source


def _engine(plan: RunPlan) -> Rows:
    engine, memory = plan.training.engine, plan.memory
    if plan.card_bytes is not None:
        for name, size in memory.engine.items():
            yield name, _gib(size), ""
    yield "KV cache of a token", f"{memory.kv_bytes:,} B", "2 x layers x KV width x bytes"
    yield "KV cache", f"{engine.kv_tokens:,} tokens", "what weights leave of the engine's memory"
    context = f"{engine.context_tokens:,.0f} tokens: mean prompt + half of the longest completion"
    yield "sequences that fit", f"{engine.fitting_sequences}", context
    longest = plan.config.actors.max_model_tokens
    yield "longest sequences that fit", f"{engine.fitting_longest}", f"{longest:,} tokens each"
    yield "sequences that run", f"{engine.sequences}", f"actors.max_num_seqs={plan.config.actors.max_num_seqs}"
    yield "decode step", f"{engine.step_s * 1e3:.1f} ms", "(weights + KV cache read) / bandwidth + overhead"
    yield "speed", f"{engine.tokens_per_s:,.0f} tokens/s", "sequences / decode step"


def _learner(plan: RunPlan) -> Rows:
    for name, size in plan.memory.learner.items():
        yield name, _gib(size), ""
    card = f"of {plan.card_bytes / GIB:.1f} GiB of its card" if plan.card_bytes is not None else "main memory"
    yield "in all", _gib(plan.memory.learner_bytes), card
    learner, ranks = plan.training.learner, plan.config.learner.num_ranks
    yield "FLOPs of a rollout", f"{learner.flops_per_rollout / 1e12:.3g} T", "6 x parameters x tokens + attention"
    mean = plan.training.trained_tokens / plan.config.learner.batch_samples
    speed = f"{learner.rollouts_per_s * mean:,.0f} tokens/s"
    yield "speed of all ranks", speed, f"{ranks} x peak x plan.mfu={plan.config.plan.mfu:g} / FLOPs"


def _stages(plan: RunPlan) -> Rows:
    yield "start", _time(plan.start_s), "assumed: roles, Redis, Ray, model"
    yield from map(_stage_row, plan.before)
    yield "first batch", _time(plan.training.first_batch_s), "its longest rollout, then one step of the learner"
    yield "first step done after", _time(plan.first_step_s), ""
    training = plan.training
    tokens = f"{training.steps:,} steps, {training.steps * training.generated_tokens / 1e6:,.3g} M tokens generated"
    yield "training", _time(plan.training_s), tokens
    yield from map(_stage_row, plan.after)
    yield "in all", _time(plan.total_s), ""


def _stage_row(stage: Stage) -> tuple[str, str, str]:
    number = f"{'at most ' if stage.at_most else ''}{stage.rollouts:,} rollouts, " if stage.rollouts else ""
    return stage.name, _time(3600 * stage.hours), f"{number}{stage.tokens / 1e6:,.3g} M tokens"


def _training(plan: RunPlan) -> Rows:
    training = plan.training
    dropped = "dropped groups included" if plan.config.preprocess.drop_zero_advantage else ""
    yield "generated for a step", f"{training.generated_tokens:,.0f} tokens", dropped
    yield "trained in a step", f"{training.trained_tokens:,.0f} tokens", "learner.batch_samples x mean completion"
    yield "engines take", f"{training.generate_s:,.1f} s", f"busy {training.engines_busy:.0%}"
    yield "learner takes", f"{training.learn_s:,.1f} s", f"busy {training.learner_busy:.0%}"
    yield "a step", f"{training.step_s:,.1f} s", f"who waits: {training.waits}"
    bound = plan.config.learner.max_lag
    limit = "no bound" if bound is None else f"learner.max_lag={bound}"
    yield "lag", f"{training.lag_mean:.1f} steps", f"oldest token {training.lag_oldest:.1f}; {limit}"


def _storage(plan: RunPlan) -> Rows:
    storage, learner = plan.storage, plan.config.learner
    kept = f"{learner.keep_checkpoints} kept, one being written"
    yield "checkpoints on disk", _gib(storage.checkpoints), kept
    yield "rollouts of the stages on disk", _gib(storage.stage_rollouts), "8 B a token"
    yield "weights", _gib(storage.weights), f"{plan.config.weights.backend}: of one policy version"
    if storage.sent_weights:
        yield "weights on their way", _gib(storage.sent_weights), "/dev/shm and main memory"
    limit = "external server" if storage.redis_limit is None else f"broker.max_memory_gib={storage.redis_limit / GIB:g}"
    most = f"at most {_gib(storage.redis_most)}; {limit}"
    yield "Redis", _gib(storage.redis_expected), most


def _gib(size: float) -> str:
    return f"{size / GIB:,.2f} GiB" if size < 10 * GIB else f"{size / GIB:,.1f} GiB"


def _time(seconds: float) -> str:
    if seconds < 600:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"
