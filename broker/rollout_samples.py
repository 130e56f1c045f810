"""The newest few hundred rollouts as readable text.

An entry of the stream has plain fields:

    problem, arm, bucket   what was sampled
    ordinal, index         group id, and number of the rollout in its group, from 0
    verdict, reward        reward is empty when the verifier failed
    answer                 reference answer
    claimed                JSON list of the answers that the response claims, the first `MAX_CLAIMS_SHOWN` of them
    finish                 why it ended: stop, or length for the token budget
    version                newest policy version that sampled it
    spans                  "0:41 118:42": tokens 0..117 by version 41, the rest by 42
    prompt                 text, guidance included, cut at `MAX_TEXT` characters
    guidance               "START:STOP", characters of the prompt that are guidance; empty when there is none
    completion_tokens      number of tokens
    completion             text, cut at `MAX_TEXT` characters
    token_chars            "3 1 0 2": number of characters of each of the first tokens of the completion
    logprobs               "-0.12 -2": of the same tokens, nats, under the sampling distribution

The learner adds the importance ratios of a rollout to a separate stream, see `add_ratios`.
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
"""Characters kept of a prompt or a completion."""
MAX_CLAIM, MAX_CLAIMS_SHOWN = 1024, 16
"""Characters kept of a claimed answer, and number of answers kept."""
MAX_TOKENS = 1024
"""Tokens of a completion whose logprobs and ratios are kept, from the first on."""


class RolloutSamples:
    """The samples of a run: actors add rollouts, the learner adds ratios, viewers read both."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys

    def add(self, values: Mapping[str, float | int | str]) -> None:
        append_entry(self._client, self._keys.samples, KEPT_SAMPLES, values)
        if "ordinal" in values:
            _SHOW(self._client, [self._keys.samples_shown], f"{values['ordinal']} {values['index']}", KEPT_SAMPLES)

    def shown(self) -> set[tuple[int, int]]:
        """(group id, index) of the newest samples: the rollouts whose ratios the learner adds."""
        words = cast(list[bytes], self._client.lrange(self._keys.samples_shown, 0, -1))
        return {(int(group_id), int(index)) for group_id, index in (word.split() for word in words)}

    def add_ratios(self, group_id: int, index: int, step: int, ratios: Sequence[float]) -> None:
        """Adds pi / pi_behaviour of the first tokens of a sample, in the step that trained it."""
        text = numbers(ratios[:MAX_TOKENS])
        values: dict[str, float | int | str] = {"ordinal": group_id, "index": index, "step": step, "ratios": text}
        append_entry(self._client, self._keys.samples_ratios, KEPT_SAMPLES, values)

    def newest(self, count: int) -> list[dict[str, str]]:
        """The newest `count` samples, newest first."""
        entries = cast(Entries, self._client.xrevrange(self._keys.samples, count=count))
        return [plain_entry(entry_id, fields) for entry_id, fields in entries]


def numbers(values: Iterable[float | int]) -> str:
    """Numbers in the form of a sample's fields: four significant digits, separated by spaces."""
    return " ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in values)
