"""Soft overlong punishment (DAPO, arXiv 2503.14476, eq. 13). Pure."""

from broker.records import RolloutGroup


def shaped_rewards(group: RolloutGroup, *, overlong_tokens: int, max_completion_tokens: int) -> list[float | None]:
    """The rewards for the advantages: the verifier's reward plus a length penalty between -1 and 0.

    The penalty of |y| tokens, with L_max = `max_completion_tokens` and L_cache = `overlong_tokens`:

        0                                   |y| <= L_max - L_cache
        (L_max - L_cache - |y|) / L_cache   above; -1 at L_max, where rollouts are cut

    `overlong_tokens` = 0 disables it. An off-policy rollout is not penalised, because the policy did not sample it. The
    records, the ledger and all counts keep the verifier's reward.
    """
    free = max_completion_tokens - overlong_tokens
    return [
        rollout.reward
        if not overlong_tokens or rollout.reward is None or rollout.off_policy or rollout.num_tokens <= free
        else rollout.reward + max(-1.0, (free - rollout.num_tokens) / overlong_tokens)
        for rollout in group.rollouts
    ]
