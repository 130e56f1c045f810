"""Tokenized demonstrations, and their assignment to optimizer steps. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from broker.records import Rollout, RolloutGroup, TrainGroup, float32_bytes


@dataclass(frozen=True)
class Example:
    """A tokenized demonstration."""

    prompt_ids: bytes
    """int32[P]: no loss on these tokens."""
    response_ids: bytes
    """int32[R]: the trained tokens, including the end-of-sequence token."""

    @property
    def num_tokens(self) -> int:
        return (len(self.prompt_ids) + len(self.response_ids)) // 4


@dataclass(frozen=True)
class Curriculum:
    """Assigns examples to steps: `epochs` passes, each in its own random order, cut into steps of `batch_samples`.

    A pure function of its fields: every rank and every resumed run gets the same steps.
    """

    num_examples: int
    batch_samples: int
    epochs: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.num_examples // self.batch_samples)

    @property
    def num_steps(self) -> int:
        return self.epochs * self.steps_per_epoch

    def epoch(self, step: int) -> int:
        """The epoch of a step; both count from 1."""
        return (step - 1) // self.steps_per_epoch + 1

    def examples(self, step: int) -> list[int]:
        """Indices of the examples that a step in 1, ..., `num_steps` trains."""
        order = np.random.default_rng([self.seed, self.epoch(step)]).permutation(self.num_examples)
        start = (step - 1) % self.steps_per_epoch * self.batch_samples
        return [int(number) for number in order[start : start + self.batch_samples]]


def as_groups(examples: Sequence[Example]) -> list[TrainGroup]:
    """The examples in the form that `batch_feed` packs: groups of one rollout each.

    The SFT step uses the packed tokens only; advantages and log-probabilities in these records are placeholders.
    """
    return [_as_group(number, example) for number, example in enumerate(examples)]


def _as_group(number: int, example: Example) -> TrainGroup:
    rollout = Rollout(
        token_ids=example.response_ids,
        logprobs=bytes(len(example.response_ids)),
        version_spans=((0, 0),),
        finish_reason="stop",
        verdict="correct",
        reward=1.0,
    )
    group = RolloutGroup(
        group_id=number,
        problem_id="demonstration",
        arm="unguided",
        bucket="hard",
        actor="demonstration",
        prompt_ids=example.prompt_ids,
        rollouts=(rollout,),
    )
    return TrainGroup(rollout_group=group, advantages=float32_bytes([1.0]))
