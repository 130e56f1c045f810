"""Rollouts in readable text, the newest few hundred, for people to look at.

An entry of the stream has plain fields:

    problem, arm, bucket   what was asked
    group id, index         which rollout (from 0) of which group
    verdict, reward        how it was judged; reward is empty when the verifier itself failed
    version                newest policy version that wrote it
    spans                  "0:41 118:42": tokens 0..117 by version 41, the rest by 42
    prompt                 text, guidance included, cut at `MAX_TEXT` characters
    guidance               "START:STOP", characters of the prompt that are guidance; empty when there is none
    completion_tokens      how many tokens the rollout has
    completion             text, cut at `MAX_TEXT` characters
    token_chars            "3 1 0 2": characters of each of the first tokens; together they begin the completion
    logprobs               "-0.12 -2": of the same tokens, nats, under the distribution sampled from

What the learner made of a rollout comes later, in a stream of its own: `ratios`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import redis

from broker.connection import Entries
from broker.keys import Keys
from broker.metrics import append_entry, plain_entry
from broker.scripts import Script

_SHOW = Script("show")
KEPT_SAMPLES = 500
MAX_TEXT = 32_768
"""Characters of a prompt or of a completion that are kept."""
MAX_TOKENS = 1024
"""First tokens of a completion that are kept one by one."""


class RolloutSamples:
    """Written by actors and by the learner, read by whoever looks."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys

    def add(self, values: Mapping[str, float | int | str]) -> None:
        append_entry(self._client, self._keys.samples, KEPT_SAMPLES, values)
        if "ordinal" in values:
            _SHOW(self._client, [self._keys.samples_shown], f"{values['ordinal']} {values['index']}", KEPT_SAMPLES)

    def shown(self) -> set[tuple[int, int]]:
        """(group id, index) of the newest samples: whose ratios somebody may want to see."""
        words = cast(list[bytes], self._client.lrange(self._keys.samples_shown, 0, -1))
        return {(int(group_id), int(index)) for group_id, index in (word.split() for word in words)}

    def add_ratios(self, group_id: int, index: int, step: int, ratios: Sequence[float]) -> None:
        """pi / pi_behaviour of the first tokens of a sample, in the step that trained it."""
        text = numbers(ratios[:MAX_TOKENS])
        values: dict[str, float | int | str] = {"ordinal": group_id, "index": index, "step": step, "ratios": text}
        append_entry(self._client, self._keys.samples_ratios, KEPT_SAMPLES, values)

    def newest(self, count: int) -> list[dict[str, str]]:
        """The newest `count` samples, newest first."""
        entries = cast(Entries, self._client.xrevrange(self._keys.samples, count=count))
        return [plain_entry(entry_id, fields) for entry_id, fields in entries]


def numbers(values: Iterable[float | int]) -> str:
    """Numbers as the fields of a sample hold them."""
    return " ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in values)
