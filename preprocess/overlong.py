"""Soft overlong punishment (DAPO, arXiv 2503.14476, eq. 13). Pure."""

from broker.records import RolloutGroup


def shaped_rewards(group: RolloutGroup, *, overlong_tokens: int, max_completion_tokens: int) -> list[float | None]:
    """The rewards advantages are made of: the verifier's, plus 0 to -1 for length.

    A completion of |y| tokens, L_max = `max_completion_tokens`, L_cache = `overlong_tokens`:

        0                                   |y| <= L_max - L_cache
        (L_max - L_cache - |y|) / L_cache   above; -1 at L_max, where completions are cut

    0 tokens switch it off. An off-policy completion is as long as the oracle made it and is not punished. The records,
    the ledger and every count keep the verifier's reward.
    """
    free = max_completion_tokens - overlong_tokens
    return [
        completion.reward
        if not overlong_tokens or completion.reward is None or completion.off_policy or completion.num_tokens <= free
        else completion.reward + max(-1.0, (free - completion.num_tokens) / overlong_tokens)
        for completion in group.rollouts
    ]
