"""Sums of an actor's output since its last report."""

from collections import Counter
from dataclasses import dataclass, field

from broker.records import RolloutGroup
from broker.reports import ActorOutput


@dataclass
class OutputSums:
    """Sums over the published training groups; the fields are those of `ActorOutput`."""

    groups: int = 0
    tokens: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    truncated: int = 0
    multi_version_rollouts: int = 0

    def add(self, group: RolloutGroup) -> None:
        """Adds one group."""
        self.groups += 1
        self.tokens += group.num_completion_tokens
        for rollout in group.policy_rollouts:
            self.verdicts[rollout.verdict] += 1
            self.truncated += rollout.finish_reason == "length"
            self.multi_version_rollouts += len(rollout.version_spans) > 1

    def report(self, actor: str, version: int) -> ActorOutput:
        """The report of `actor`; `version`: policy version that its engine holds."""
        return ActorOutput(
            actor=actor,
            version=version,
            groups=self.groups,
            tokens=self.tokens,
            verdicts=dict(self.verdicts),
            truncated=self.truncated,
            multi_version_rollouts=self.multi_version_rollouts,
        )
