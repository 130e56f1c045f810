"""One rollout of a group in readable text: the fields `broker/rollout_samples.py` lists. Pure but for `decode`."""

from collections.abc import Callable, Sequence

from actors.prompts import guidance_span
from broker.records import RolloutGroup, float32_array, int32_array
from broker.rollout_samples import MAX_TEXT, MAX_TOKENS, numbers

Decode = Callable[[list[int]], str]
UNFINISHED = "\ufffd"
"""What a decoder writes for the first bytes of a character whose last bytes are in the next token."""


def sample_values(group: RolloutGroup, decode: Decode) -> dict[str, float | int | str]:
    """The fields of the first correct rollout of a group, of its first when none is."""
    written = group.policy_rollouts
    rollout = next((rollout for rollout in written if rollout.verdict == "correct"), written[0])
    token_ids = int32_array(rollout.token_ids).tolist()
    pieces = token_pieces(token_ids[:MAX_TOKENS], decode)
    prompt = decode(int32_array(group.prompt_ids).tolist())
    guidance = guidance_span(prompt) if group.arm == "guided" else None
    return {
        "problem": group.problem_id,
        "arm": group.arm,
        "bucket": group.bucket,
        "ordinal": group.group_id,
        "index": group.rollouts.index(rollout),
        "verdict": rollout.verdict,
        "reward": "" if rollout.reward is None else rollout.reward,
        "version": rollout.version_spans[-1][1],
        "spans": " ".join(f"{start}:{version}" for start, version in rollout.version_spans),
        "prompt": prompt[:MAX_TEXT],
        "guidance": "" if guidance is None else f"{guidance[0]}:{guidance[1]}",
        "completion_tokens": len(token_ids),
        "completion": ("".join(pieces) + decode(token_ids[MAX_TOKENS:]))[:MAX_TEXT],
        "token_chars": numbers(map(len, pieces)),
        "logprobs": numbers(float32_array(rollout.logprobs)[:MAX_TOKENS].tolist()),
    }


def token_pieces(token_ids: Sequence[int], decode: Decode) -> list[str]:
    """The text each token added, by decoding it behind the tokens before it.

    A token that ends inside a character adds nothing; the one that completes the character adds it whole. Characters
    never completed are added by the last token.
    """
    pieces: list[str] = []
    known = pending = 0  # token_ids[known:pending] is the context whose text was given out
    for end in range(1, len(token_ids) + 1):
        before = decode(list(token_ids[known:pending]))
        text = decode(list(token_ids[known:end]))
        if (text.endswith(UNFINISHED) and end < len(token_ids)) or len(text) <= len(before):
            pieces.append("")
        else:
            pieces.append(text[len(before) :])
            known, pending = pending, end
    return pieces
