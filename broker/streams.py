"""The rollout stream from actors to preprocessors, with at-least-once delivery."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis

from broker.connection import block_milliseconds
from broker.keys import PREPROCESS_GROUP, Keys
from broker.scripts import Script
from conf.plain import plain

_RECOVER, _DEAD_LETTER, _OLDEST = Script("recover"), Script("dead_letter"), Script("oldest")
KEPT_DEAD_LETTERS = 256
KEPT_BYTES = 2**16
"""Bytes kept of each field of a dead letter, so that dead letters cannot fill the server."""


@dataclass(frozen=True)
class Delivery:
    """One stream entry, delivered to one consumer."""

    entry_id: str
    frame: bytes
    """A RolloutGroup frame, not decoded yet."""
    deliveries: int
    """How often the entry was delivered, this time included."""


class RolloutStream:
    """The stream has no length limit; entries leave it only by `Ring.put`, `Ring.drop` or `dead_letter`."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys

    def open(self) -> None:
        """Creates the stream and its consumer group, which reads from the first entry on. Idempotent."""
        try:
            self._client.xgroup_create(self._keys.rollouts, PREPROCESS_GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def read(self, consumer: str, *, count: int, block_s: float, claim_idle_s: float) -> list[Delivery]:
        """Up to `count` new entries; or, first, one entry that another consumer has not finished within `claim_idle_s`.

        Unfinished entries are recovered one at a time, so that an entry that kills its consumer does not increase the
        delivery count of others. Waits up to `block_s` (at most a second) for new entries; 0 does not wait. A consumer
        that processes an entry for longer than `claim_idle_s` must call `keep` in time.
        """
        idle_ms = round(claim_idle_s * 1000)
        recovered = _RECOVER(self._client, [self._keys.rollouts], PREPROCESS_GROUP, consumer, idle_ms, 1)
        if recovered:
            return [_delivery(entry_id, fields, int(deliveries)) for entry_id, fields, deliveries in recovered]
        block_ms = block_milliseconds(block_s)
        arrived: Any = self._client.xreadgroup(
            PREPROCESS_GROUP, consumer, {self._keys.rollouts: ">"}, count=count, block=block_ms
        )
        return [_delivery(entry_id, fields, 1) for _, entries in arrived or [] for entry_id, fields in entries]

    def keep(self, consumer: str, entry_ids: Sequence[str]) -> None:
        """Resets the idle time of entries that are still being processed, so that they are not recovered."""
        if entry_ids:
            self._client.xclaim(self._keys.rollouts, PREPROCESS_GROUP, consumer, 0, list(entry_ids), justid=True)

    def dead_letter(self, entry_id: str, reason: str) -> bool:
        """Removes an unreadable entry, keeps the beginning of its fields and counts it as `failed.unreadable`.

        False: the entry was acknowledged before.
        """
        keys = self._keys
        names = [keys.rollouts, keys.dead_letters, keys.counters, keys.failures, keys.written, keys.rollout_outcomes]
        arguments = (PREPROCESS_GROUP, entry_id, plain(reason, 500), KEPT_DEAD_LETTERS, KEPT_BYTES)
        return bool(_DEAD_LETTER(self._client, names, *arguments))

    def depth(self) -> int:
        """Groups on the stream: waiting, or delivered to a preprocessor and not acknowledged."""
        return int(self._client.xlen(self._keys.rollouts))

    def oldest_unix_ms(self) -> int | None:
        """Publication time of the oldest entry by the server's clock; None when the stream is empty."""
        entry_id = _OLDEST(self._client, [self._keys.rollouts])
        return int(entry_id.split(b"-")[0]) if entry_id else None


def _delivery(entry_id: bytes, fields: Any, deliveries: int) -> Delivery:
    """Fields are a flat list from a script, a mapping from XREADGROUP. A missing frame becomes b""."""
    if not isinstance(fields, dict):
        fields = dict(zip(fields[::2], fields[1::2], strict=True))
    return Delivery(entry_id.decode(), fields.get(b"group", b""), deliveries)
