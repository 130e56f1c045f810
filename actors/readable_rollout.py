"""One rollout of a group as readable text, with the fields of `broker/rollout_samples.py`."""

from collections.abc import Callable, Sequence

import msgspec

from actors.prompts import guidance_span
from actors.verification.answers import claimed_answers
from actors.verification.thoughts import DEFAULT_THOUGHTS, Thoughts
from broker.records import RolloutGroup, float32_array, int32_array
from broker.rollout_samples import MAX_CLAIM, MAX_CLAIMS_SHOWN, MAX_TEXT, MAX_TOKENS, numbers

Decode = Callable[[list[int]], str]
SampleValues = dict[str, float | int | str]
UNFINISHED = "\ufffd"
"""The decoded text of an incomplete character, whose last bytes are in the next token."""


def sample_values(
    group: RolloutGroup, decode: Decode, answer: str, thoughts: Thoughts = DEFAULT_THOUGHTS
) -> SampleValues:
    """The fields of the first correct rollout of the policy, or of its first rollout if none is correct.

    `answer`: the reference answer of the problem. `thoughts`: how the model marks its thoughts.
    """
    rollouts = group.policy_rollouts
    rollout = next((rollout for rollout in rollouts if rollout.verdict == "correct"), rollouts[0])
    token_ids = int32_array(rollout.token_ids).tolist()
    pieces = token_pieces(token_ids[:MAX_TOKENS], decode)
    prompt = decode(int32_array(group.prompt_ids).tolist())
    claims = [claim[:MAX_CLAIM] for claim in claimed_answers(decode(token_ids), thoughts)[:MAX_CLAIMS_SHOWN]]
    guidance = guidance_span(prompt) if group.arm == "guided" else None
    return {
        "problem": group.problem_id,
        "arm": group.arm,
        "bucket": group.bucket,
        "ordinal": group.group_id,
        "index": group.rollouts.index(rollout),
        "verdict": rollout.verdict,
        "reward": "" if rollout.reward is None else rollout.reward,
        "answer": answer[:MAX_TEXT],
        "claimed": msgspec.json.encode(claims).decode(),
        "finish": rollout.finish_reason,
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
    """The text that each token adds to the decoded text of the tokens before it.

    A token that ends inside a character adds nothing; the token that completes the character adds all of it. The last
    token also adds an incomplete character.
    """
    pieces: list[str] = []
    start = pending = 0  # the text of token_ids[start:pending] is in `pieces`; it is decoded again as context
    for end in range(1, len(token_ids) + 1):
        before = decode(list(token_ids[start:pending]))
        text = decode(list(token_ids[start:end]))
        if (text.endswith(UNFINISHED) and end < len(token_ids)) or len(text) <= len(before):
            pieces.append("")
        else:
            pieces.append(text[len(before) :])
            start, pending = pending, end
    return pieces
