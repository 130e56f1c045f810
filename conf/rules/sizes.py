"""Sizes of groups, batches, rows and the ring, and the largest lag."""

import math
from collections.abc import Iterator

from conf.rules.rule import Rule, Violation
from conf.schema import RunConfig


def prompts_fit_the_engine(config: RunConfig) -> Iterator[Violation]:
    actors = config.actors
    if actors.max_num_seqs < actors.group_size:
        yield ("actors.max_num_seqs", "actors.group_size"), (
            f"actors.max_num_seqs={actors.max_num_seqs} cannot decode one group of "
            f"actors.group_size={actors.group_size} at the same time; raise the first to {actors.group_size} or more"
        )


def batch_holds_whole_groups(config: RunConfig) -> Iterator[Violation]:
    batch, group = config.learner.batch_samples, config.actors.group_size
    if batch % group:
        yield ("learner.batch_samples", "actors.group_size"), (
            f"learner.batch_samples={batch} is not a multiple of actors.group_size={group}, and groups are trained "
            f"whole; the nearest valid values are {_multiples(batch, group, group)}"
        )


def _multiples(value: int, of: int, at_least: int) -> str:
    below, above = value // of * of, (value // of + 1) * of
    return " and ".join(str(multiple) for multiple in (below, above) if multiple >= at_least)


def ring_holds_a_batch(config: RunConfig) -> Iterator[Violation]:
    keys = ("broker.ring.capacity", "learner.batch_samples", "actors.group_size")
    capacity, batch, group = config.broker.ring.capacity, config.learner.batch_samples, config.actors.group_size
    if capacity < batch:
        yield keys, (
            f"broker.ring.capacity={capacity} cannot hold one batch of learner.batch_samples={batch}, so no step could "
            f"start; raise the first to {batch} or lower the second"
        )
    if capacity % group:
        yield keys, (
            f"broker.ring.capacity={capacity} is not a multiple of actors.group_size={group}, and the ring keeps "
            f"groups whole; the nearest valid values are {_multiples(capacity, group, batch)} "
            f"(at least learner.batch_samples={batch})"
        )


def budget_allows_a_step(config: RunConfig) -> Iterator[Violation]:
    if config.run.max_groups is not None and config.run.max_groups < config.batch_groups:
        yield ("run.max_groups", "learner.batch_samples"), (
            f"run.max_groups={config.run.max_groups} is too few for the first step, which takes {config.batch_groups} "
            f"groups (learner.batch_samples / actors.group_size); raise it to {config.batch_groups} or more"
        )


def rows_hold_the_longest_sample(config: RunConfig) -> Iterator[Violation]:
    rows, longest = config.learner.row_tokens, config.actors.max_model_tokens
    if rows < longest:
        yield ("learner.row_tokens", "actors.max_prompt_tokens", "actors.max_completion_tokens"), (
            f"learner.row_tokens={rows} is smaller than the longest sample of the actors, "
            f"actors.max_prompt_tokens + actors.max_completion_tokens = {longest}; raise the first to {longest} "
            "or lower one of the others"
        )


def every_rank_has_work(config: RunConfig) -> Iterator[Violation]:
    ranks, batch = config.learner.num_ranks, config.learner.batch_samples
    if ranks > batch:
        yield ("learner.num_ranks", "learner.batch_samples"), (
            f"learner.num_ranks={ranks} is more than the learner.batch_samples={batch} samples of a step; "
            f"lower the first to {batch} or raise the second"
        )


def max_lag_allows_the_publication_interval(config: RunConfig) -> Iterator[Violation]:
    # The `every_steps` steps between two announcements train rollouts of the older weights; the lag of the last of them
    # is every_steps - 1. With a smaller bound the feed admits too few groups for that step: a deadlock.
    max_lag, every = config.learner.max_lag, config.weights.every_steps
    if max_lag is not None and max_lag < every - 1:
        yield ("learner.max_lag", "weights.every_steps"), (
            f"learner.max_lag={max_lag} with weights.every_steps={every} would deadlock: tokens of the last step "
            f"before an announcement have a lag of {every - 1}; set weights.every_steps={max_lag + 1} or lower, "
            f"or learner.max_lag={every - 1} or higher"
        )


def kept_rollouts(config: RunConfig) -> int:
    """Largest number of rollouts in Redis: a batch is kept until the oldest kept checkpoint covers it."""
    learner, actors, broker = config.learner, config.actors, config.broker
    steps = learner.checkpoint_every * learner.keep_checkpoints or config.run.max_steps
    trained = min(steps, config.run.max_steps) * learner.batch_samples
    if config.run.max_groups is not None:
        trained = min(trained, config.run.max_groups * actors.group_size)
    return trained + broker.ring.capacity + broker.rollouts_high_water * actors.group_size


def rollout_bytes(config: RunConfig, *, prompt_tokens: float, completion_tokens: float) -> float:
    """Bytes of a rollout in Redis, with its part of the prompt: 8 a token, its id and its log-probability, and 4 more
    with that of the reference."""
    token_bytes = 12 if config.learner.kl_coef > 0 else 8
    return token_bytes * completion_tokens + 4 * prompt_tokens / config.actors.group_size


def redis_holds_the_kept_batches(config: RunConfig) -> Iterator[Violation]:
    actors, broker = config.actors, config.broker
    rollouts, longest = kept_rollouts(config), actors.max_completion_tokens
    each = rollout_bytes(config, prompt_tokens=actors.max_prompt_tokens, completion_tokens=longest)
    needed_gib = rollouts * each / 2**30
    if broker.url is None and needed_gib > broker.max_memory_gib:
        yield ("broker.max_memory_gib", "learner.checkpoint_every", "actors.max_completion_tokens"), (
            f"broker.max_memory_gib={broker.max_memory_gib:g} does not hold the rollouts that Redis keeps until "
            f"checkpoints cover them: {rollouts} of up to actors.max_completion_tokens="
            f"{longest} tokens are {needed_gib:.2f} GiB; raise the first to "
            f"{math.ceil(needed_gib)} or more, or save checkpoints more often than learner.checkpoint_every="
            f"{config.learner.checkpoint_every}"
        )


def forced_lag_is_exact(config: RunConfig) -> Iterator[Violation]:
    # Published k steps late with a bound of k, the feed admits the groups of step s once version s - 1 - k is held.
    forced, max_lag, every = config.learner.forced_lag, config.learner.max_lag, config.weights.every_steps
    if forced is None:
        return
    if max_lag != forced:
        given = "null" if max_lag is None else max_lag
        yield ("learner.forced_lag", "learner.max_lag"), (
            f"learner.forced_lag={forced} is exact only with the same bound, and learner.max_lag={given}; set "
            f"learner.max_lag={forced}, or learner.forced_lag=null"
        )
    if every != 1:
        yield ("learner.forced_lag", "weights.every_steps"), (
            f"learner.forced_lag={forced} needs the weights of every step, and weights.every_steps={every}; set "
            "weights.every_steps=1, or learner.forced_lag=null"
        )
    if config.learner.watchdog.action == "rollback":
        yield ("learner.forced_lag", "learner.watchdog.action"), (
            f"learner.forced_lag={forced} would publish weights that a rollback has undone; set "
            "learner.watchdog.action=skip, or learner.forced_lag=null"
        )


RULES: tuple[Rule, ...] = (
    prompts_fit_the_engine,
    batch_holds_whole_groups,
    ring_holds_a_batch,
    budget_allows_a_step,
    rows_hold_the_longest_sample,
    every_rank_has_work,
    max_lag_allows_the_publication_interval,
    redis_holds_the_kept_batches,
    forced_lag_is_exact,
)
