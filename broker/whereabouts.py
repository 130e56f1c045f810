"""Where every issued group is, by its ordinal: what `balance.py` counts, one by one.

For the audit: it reads much, so nothing that runs asks for it.
"""

from dataclasses import dataclass
from typing import cast

import redis

from broker.connection import Entries
from broker.keys import Keys
from broker.run_record import born
from broker.scripts import Script

_WHEREABOUTS = Script("whereabouts")
_PAGE = 5_000


@dataclass(frozen=True)
class Ended:
    """One group that ended untrained."""

    ordinal: int | None
    """None: an entry of the stream that no actor published."""
    end: str
    """`filtered.REASON`, `replaced`, `stale` or `failed.REASON`."""
    place: str
    """`ended 1700000000000-0`: the entry of the stream."""


@dataclass(frozen=True)
class Whereabouts:
    """One moment of a run."""

    server: str
    """Tells these keys from others of the same name."""
    issued: int
    """Ordinals 0 .. issued - 1."""
    leased: tuple[int, ...]
    reissue: tuple[int, ...]
    stream: tuple[int | None, ...]
    ring: tuple[int, ...]
    batches: dict[int, tuple[int, ...]]
    """Step -> its groups, as far back as a checkpoint may need them."""
    committed: int
    taken: int
    ended: tuple[Ended, ...]
    counters: dict[str, int]


def read_whereabouts(client: redis.Redis, keys: Keys) -> Whereabouts:
    """The places of all groups at one moment, by one read-only script; the list of the ended up to that moment."""
    names = [keys.feed, keys.leases, keys.reissue, keys.rollouts, keys.ring, keys.batches, keys.learner]
    issued, leased, reissue, stream, ring, batches, committed, taken, newest, flat = _WHEREABOUTS(
        client, [*names, keys.ended, keys.counters]
    )
    return Whereabouts(
        server=born(client, keys),
        issued=issued,
        leased=tuple(map(int, leased)),
        reissue=tuple(map(int, reissue)),
        stream=tuple(_ordinal(value) for value in stream),
        ring=tuple(map(int, ring)),
        batches={int(entry_id.split(b"-")[0]): tuple(map(int, joined.split())) for entry_id, joined in batches},
        committed=committed,
        taken=taken,
        ended=tuple(_read_ended(client, keys, newest.decode())),
        counters={flat[i].decode(): int(flat[i + 1]) for i in range(0, len(flat), 2)},
    )


def _read_ended(client: redis.Redis, keys: Keys, newest: str) -> list[Ended]:
    found: list[Ended] = []
    start = "-"
    while page := cast(Entries, client.xrange(keys.ended, min=start, max=newest, count=_PAGE)):
        for entry_id, fields in page:
            place = f"Redis, ended {entry_id.decode()}"
            found.append(Ended(_ordinal(fields[b"ordinal"]), fields[b"end"].decode(), place))
        start = f"({page[-1][0].decode()}"
    return found


def _ordinal(value: bytes) -> int | None:
    return int(value) if value else None
