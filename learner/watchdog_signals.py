"""Reads what the watchdog judges from a step: its groups, and the statistics of all ranks. Pure."""

import math
from collections.abc import Sequence

from broker.records import TrainGroup
from learner.engine_agreement import Agreement
from learner.token_statistics import TokenStatistics
from learner.watchdog import Signals


def read_signals(
    step: int, groups: Sequence[TrainGroup], tokens: TokenStatistics, agreement: Agreement | None
) -> Signals:
    """The signals of a step. `tokens` and `agreement` are of all ranks, and the groups are the whole batch."""
    rollouts = [rollout for group in groups for rollout in group.rollout_group.policy_rollouts]
    rewards = [rollout.reward for rollout in rollouts if rollout.reward is not None]
    return Signals(
        step=step,
        ess=tokens.ess if tokens.num_tokens else None,
        drift=lagged_rms(tokens, agreement),
        reward=sum(rewards) / max(1, len(rewards)),
        no_answer=sum(rollout.verdict == "no_answer" for rollout in rollouts) / max(1, len(rollouts)),
        cut=sum(rollout.finish_reason == "length" for rollout in rollouts) / max(1, len(rollouts)),
        oldest_version=min((group.rollout_group.oldest_version for group in groups), default=step - 1),
    )


def lagged_rms(tokens: TokenStatistics, agreement: Agreement | None) -> float | None:
    """Root mean square of log pi - log pi_behaviour without the rollouts of lag 0, nats; None without other tokens.

    By the sum of squares over all tokens less that over the rollouts of lag 0.
    """
    fresh_tokens, fresh_rms = (agreement.num_tokens, agreement.rms) if agreement else (0, 0.0)
    num_lagged = tokens.num_tokens - fresh_tokens
    if num_lagged <= 0:
        return None
    square = tokens.num_tokens * tokens.logprob_rms**2 - fresh_tokens * fresh_rms**2
    return math.sqrt(max(square, 0.0) / num_lagged)
