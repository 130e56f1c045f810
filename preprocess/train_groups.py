"""Turns a rollout group into a train group, or finds a reason to drop it. Pure except for the reference model."""

from collections.abc import Callable

from broker.records import RolloutGroup, TrainGroup, float32_bytes
from conf.schema import PreprocessSettings
from preprocess.advantages import group_advantages
from preprocess.filters import drop_reason
from preprocess.overlong import shaped_rewards

ReferenceLogprobs = Callable[[RolloutGroup], tuple[bytes, ...]]
"""Group -> log-probabilities of its tokens under a frozen model; see `preprocess.reference`."""


def to_train_group(
    group: RolloutGroup,
    settings: PreprocessSettings,
    *,
    max_completion_tokens: int,
    reference: ReferenceLogprobs | None,
) -> tuple[TrainGroup, str | None]:
    """The group with its advantages, and the reason to drop it or None.

    `reference` is called only for groups that are not dropped. `max_completion_tokens`: `actors.max_completion_tokens`.
    """
    rewards = shaped_rewards(
        group, overlong_tokens=settings.overlong_tokens, max_completion_tokens=max_completion_tokens
    )
    advantages = group_advantages(rewards, settings)
    reason = drop_reason(rewards, advantages, settings)
    logprobs = reference(group) if reference is not None and reason is None else None
    return TrainGroup(rollout_group=group, advantages=float32_bytes(advantages), reference_logprobs=logprobs), reason
