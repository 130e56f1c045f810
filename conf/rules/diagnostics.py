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


RULES: tuple[Rule, ...] = (gradient_cosines_need_whole_weights,)
