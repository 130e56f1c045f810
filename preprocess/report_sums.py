"""What a preprocessor saw since its last report, reduced to numbers once."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from broker.records import RolloutGroup


@dataclass
class ArmTally:
    """Rollouts of one arm."""

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
    """`kept`, a filter's reason, or `unreadable`."""
    errors: int = 0
    """Deliveries that raised and will be delivered again."""

    def add(self, group: RolloutGroup, outcome: str) -> None:
        """Count one group; `outcome` is `kept` or the reason it was dropped."""
        rewards = [c.reward for c in group.policy_rollouts if c.reward is not None]
        arm = self.arms[group.arm]
        arm.groups += 1
        arm.rollouts += len(group.policy_rollouts)
        arm.judged += len(rewards)
        arm.reward_sum += sum(rewards)
        arm.successes += group.num_successes
        self.outcomes[outcome] += 1

    def values(self) -> dict[str, float | int]:
        """As metrics: counts since the last report, and means over exactly the rollouts counted beside them."""
        report: dict[str, float | int] = {"preprocess/groups/seen": self.outcomes.total()}
        for outcome, count in self.outcomes.items():
            report[f"preprocess/groups/{outcome}"] = count
        if self.errors:
            report["preprocess/groups/errors"] = self.errors
        for name, arm in self.arms.items():
            report[f"preprocess/{name}/groups"] = arm.groups
            report[f"preprocess/{name}/rollouts"] = arm.rollouts
            report[f"preprocess/{name}/judged"] = arm.judged
            if arm.judged:
                report[f"preprocess/{name}/reward_mean"] = arm.reward_sum / arm.judged
                report[f"preprocess/{name}/success_rate"] = arm.successes / arm.judged
        return report


def group_values(group: RolloutGroup, outcome: str, step: int) -> dict[str, float | int | str]:
    """One ended group in plain fields, for progress by arm and success against rollouts spent."""
    rewards = [c.reward for c in group.policy_rollouts if c.reward is not None]
    verdicts = Counter(c.verdict for c in group.policy_rollouts)
    values: dict[str, float | int | str] = {
        "ordinal": group.group_id,
        "problem_id": group.problem_id,
        "arm": group.arm,
        "bucket": group.bucket,
        "actor": group.actor,
        "outcome": outcome,
        "step": step,
        "oldest_version": group.oldest_version,
        "rollouts": len(group.policy_rollouts),
        "judged": len(rewards),
        "reward_sum": float(sum(rewards)),
        "successes": group.num_successes,
        "prompt_tokens": group.num_prompt_tokens,
        "completion_tokens": group.num_completion_tokens,
        "cut_off": sum(c.finish_reason == "length" for c in group.policy_rollouts),
    }
    for verdict, count in verdicts.items():
        values[f"verdict.{verdict}"] = count
    return values
