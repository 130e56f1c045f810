"""Demonstrations as the learner sees them: token ids, and which of them each optimizer step trains. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from broker.records import Rollout, RolloutGroup, TrainGroup, float32_bytes


@dataclass(frozen=True)
class Example:
    """A demonstration in token ids."""

    prompt_ids: bytes
    """int32[P]: carries no loss."""
    response_ids: bytes
    """int32[R]: imitated token by token, its end-of-sequence token included."""

    @property
    def num_tokens(self) -> int:
        return (len(self.prompt_ids) + len(self.response_ids)) // 4


@dataclass(frozen=True)
class Curriculum:
    """`epochs` passes over the examples, each in a random order of its own, cut into steps of `batch_samples`.

    A pure function of these numbers: every rank draws the same, however many there are, and so does a resumed run.
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
        """Epoch of a step; both count from 1."""
        return (step - 1) // self.steps_per_epoch + 1

    def members(self, step: int) -> list[int]:
        """Numbers of the examples that step 1, ..., `num_steps` trains."""
        order = np.random.default_rng([self.seed, self.epoch(step)]).permutation(self.num_examples)
        start = (step - 1) % self.steps_per_epoch * self.batch_samples
        return order[start : start + self.batch_samples].tolist()


def as_groups(examples: Sequence[Example]) -> list[TrainGroup]:
    """The form in which `batch_feed` packs samples: groups of one completion that is trained as a whole.

    Cross entropy is the policy gradient of a completion with advantage 1 and ratio 1, so this loses nothing. The
    log-probabilities of a sampler are not used.
    """
    return [_as_group(number, example) for number, example in enumerate(examples)]


def _as_group(number: int, example: Example) -> TrainGroup:
    completion = Rollout(
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
        rollouts=(completion,),
    )
    return TrainGroup(rollout_group=group, advantages=float32_bytes([1.0]))
