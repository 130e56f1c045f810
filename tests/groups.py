"""Small groups for tests."""

from collections.abc import Sequence

from broker.records import Rollout, RolloutGroup, TrainGroup, Verdict, float32_bytes, int32_bytes
from conf.schema import PreprocessSettings
from preprocess.advantages import group_advantages


def completion(
    reward: float | None = 1.0, *, version: int = 0, num_tokens: int = 3, verdict: Verdict | None = None
) -> Rollout:
    """A rollout of `num_tokens` tokens by one policy version. The verdict follows from the reward unless given."""
    if verdict is None:
        verdict = "timeout" if reward is None else "correct" if reward > 0 else "wrong"
    return Rollout(
        token_ids=int32_bytes(range(1, num_tokens + 1)),
        logprobs=float32_bytes([-0.5] * num_tokens),
        version_spans=((0, version),),
        finish_reason="stop",
        verdict=verdict,
        reward=reward,
    )


def oracle_rollout(num_tokens: int = 4) -> Rollout:
    """The oracle solution as an off-policy rollout of a group."""
    return Rollout(
        token_ids=int32_bytes(range(11, 11 + num_tokens)), logprobs=b"", version_spans=(), finish_reason="stop",
        verdict="correct", reward=1.0, off_policy=True,
    )  # fmt: skip


def rollout_group(
    group_id: int = 0,
    rewards: Sequence[float | None] = (1.0, 0.0),
    *,
    version: int = 0,
    arm: str = "guided",
    problem_id: str | None = None,
    num_tokens: int = 3,
    oracle: bool = False,
) -> RolloutGroup:
    """A group with one rollout for each reward, and one of the oracle with `oracle`."""
    return RolloutGroup(
        group_id=group_id,
        problem_id=problem_id or f"p{group_id}",
        arm=arm,
        bucket="hard",
        actor="actor-0",
        prompt_ids=int32_bytes([5, 9, 2]),
        rollouts=(
            *(completion(reward, version=version, num_tokens=num_tokens) for reward in rewards),
            *([oracle_rollout()] if oracle else []),
        ),
    )


def train_group(group: RolloutGroup) -> TrainGroup:
    """The group with its mean advantages."""
    advantages = group_advantages([c.reward for c in group.rollouts], PreprocessSettings())
    return TrainGroup(rollout_group=group, advantages=float32_bytes(advantages))
