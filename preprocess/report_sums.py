"""Sums of a preprocessor's work since its last report. Pure."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from broker.records import RolloutGroup
from broker.reports import GroupEnd, PreprocessWork


@dataclass
class ArmTally:
    """Groups and rollouts of one arm."""

    groups: int = 0
    rollouts: int = 0
    judged: int = 0
    """Rollouts with a reward."""
    reward_sum: float = 0.0
    successes: int = 0


@dataclass
class Tally:
    """Groups that ended preprocessing since the last report."""

    arms: defaultdict[str, ArmTally] = field(default_factory=lambda: defaultdict(ArmTally))
    outcomes: Counter[str] = field(default_factory=Counter)
    """`kept`, a filter's reason, or `unreadable` -> groups."""
    errors: int = 0
    """Deliveries that raised and will be delivered again."""

    def add(self, group: RolloutGroup, outcome: str) -> None:
        """Counts one group; `outcome` is `kept` or the reason it was dropped."""
        rewards = [c.reward for c in group.policy_rollouts if c.reward is not None]
        arm = self.arms[group.arm]
        arm.groups += 1
        arm.rollouts += len(group.policy_rollouts)
        arm.judged += len(rewards)
        arm.reward_sum += sum(rewards)
        arm.successes += group.num_successes
        self.outcomes[outcome] += 1

    def report(self, worker: str, *, step: int, ring_samples: int, stream_groups: int) -> PreprocessWork:
        """The report of `worker`; the other arguments as in `PreprocessWork`."""
        judged = {name: arm for name, arm in self.arms.items() if arm.judged}
        return PreprocessWork(
            worker=worker,
            step=step,
            ring_samples=ring_samples,
            stream_groups=stream_groups,
            groups_seen=self.outcomes.total(),
            errors=self.errors or None,
            outcomes=dict(self.outcomes),
            groups={name: arm.groups for name, arm in self.arms.items()},
            rollouts={name: arm.rollouts for name, arm in self.arms.items()},
            judged={name: arm.judged for name, arm in self.arms.items()},
            reward_mean={name: arm.reward_sum / arm.judged for name, arm in judged.items()},
            success_rate={name: arm.successes / arm.judged for name, arm in judged.items()},
        )


def group_end(group: RolloutGroup, outcome: str, step: int) -> GroupEnd:
    """The report of one group that ended as `outcome`; `step` is the newest published policy version."""
    rewards = [c.reward for c in group.policy_rollouts if c.reward is not None]
    return GroupEnd(
        group_id=group.group_id,
        problem_id=group.problem_id,
        arm=group.arm,
        bucket=group.bucket,
        actor=group.actor,
        outcome=outcome,
        step=step,
        oldest_version=group.oldest_version,
        rollouts=len(group.policy_rollouts),
        judged=len(rewards),
        reward_sum=float(sum(rewards)),
        successes=group.num_successes,
        prompt_tokens=group.num_prompt_tokens,
        completion_tokens=group.num_completion_tokens,
        truncated=sum(c.finish_reason == "length" for c in group.policy_rollouts),
        verdicts=dict(Counter(c.verdict for c in group.policy_rollouts)),
        sampling_share=group.sampling_share,
        guidance_chars=group.guidance_chars,
    )
