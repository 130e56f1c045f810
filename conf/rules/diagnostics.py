"""Diagnostics during training."""

from collections.abc import Iterator

from conf.rules.rule import Rule, Violation
from conf.schema import RunConfig


def gradient_cosines_need_whole_weights(config: RunConfig) -> Iterator[Violation]:
    every, stage = config.learner.gradient_cosine_every, config.learner.zero_stage
    if every and stage == 3:
        yield ("learner.gradient_cosine_every", "learner.zero_stage"), (
            f"learner.gradient_cosine_every={every} needs whole weights and gradients on every rank, and "
            "learner.zero_stage=3 partitions them; set learner.gradient_cosine_every=0, or learner.zero_stage=2"
        )


def a_rollback_has_checkpoints_and_can_be_due(config: RunConfig) -> Iterator[Violation]:
    learner, watchdog = config.learner, config.learner.watchdog
    if watchdog.action != "rollback":
        return
    if not learner.checkpoint_every:
        yield ("learner.checkpoint_every", "learner.watchdog.action"), (
            "learner.checkpoint_every=0 saves only the last step, and learner.watchdog.action=rollback restores "
            "earlier ones; set learner.checkpoint_every=25, or learner.watchdog.action=skip"
        )
    if watchdog.unhealthy_steps > watchdog.window:
        yield ("learner.watchdog.unhealthy_steps", "learner.watchdog.window"), (
            f"learner.watchdog.unhealthy_steps={watchdog.unhealthy_steps} are never among the newest "
            f"learner.watchdog.window={watchdog.window} steps; lower the first to {watchdog.window} or raise the second"
        )


RULES: tuple[Rule, ...] = (gradient_cosines_need_whole_weights, a_rollback_has_checkpoints_and_can_be_due)
