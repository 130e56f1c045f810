"""The rollout stream: groups on their way from actors to preprocessing, each delivered at least once."""

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
"""Of one dead letter's fields: all of them together must not fill the server."""


@dataclass(frozen=True)
class Delivery:
    """One entry of the stream in the hands of one consumer."""

    entry_id: str
    frame: bytes
    """A RolloutGroup frame, unread."""
    deliveries: int
    """How often the entry was handed out, this time included."""


class RolloutStream:
    """Entries leave the stream only through `Ring.put`, `Ring.drop` or `dead_letter`; there is no length cap."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys

    def open(self) -> None:
        """Create the stream and its consumer group, which sees everything from the first entry on. Idempotent."""
        try:
            self._client.xgroup_create(self._keys.rollouts, PREPROCESS_GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def read(self, consumer: str, *, count: int, block_s: float, claim_idle_s: float) -> list[Delivery]:
        """New entries, up to `count`; before them, one by one, those a consumer left unfinished for `claim_idle_s`.

        One by one, because the entry that took its consumer down must not raise the count of its neighbours.
        Waits up to `block_s` (at most a second) when there are none; 0: does not wait. An entry stays with its
        consumer until it ends; a consumer that works longer than `claim_idle_s` must `keep` it.
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
        """Tell that these entries are still in work, so that nobody takes them over."""
        if entry_ids:
            self._client.xclaim(self._keys.rollouts, PREPROCESS_GROUP, consumer, 0, list(entry_ids), justid=True)

    def dead_letter(self, entry_id: str, reason: str) -> bool:
        """Take an entry nobody can use off the stream, keep the beginning of it, count it as `failed.unreadable`.

        False: it had ended before.
        """
        keys = self._keys
        names = [keys.rollouts, keys.dead_letters, keys.counters, keys.failures, keys.written, keys.rollout_outcomes]
        arguments = (PREPROCESS_GROUP, entry_id, plain(reason, 500), KEPT_DEAD_LETTERS, KEPT_BYTES)
        return bool(_DEAD_LETTER(self._client, names, *arguments))

    def depth(self) -> int:
        """Groups published and not yet ended: waiting, or in the hands of a preprocessor."""
        return int(self._client.xlen(self._keys.rollouts))

    def oldest_unix_ms(self) -> int | None:
        """When the oldest of them was published, by the server's clock; None when there is none."""
        entry_id = _OLDEST(self._client, [self._keys.rollouts])
        return int(entry_id.split(b"-")[0]) if entry_id else None


def _delivery(entry_id: bytes, fields: Any, deliveries: int) -> Delivery:
    """A script returns fields as a flat list, XREADGROUP as a mapping. An entry without a frame is unreadable."""
    if not isinstance(fields, dict):
        fields = dict(zip(fields[::2], fields[1::2], strict=True))
    return Delivery(entry_id.decode(), fields.get(b"group", b""), deliveries)
