"""Where every issued group is, by its group id, with the batches that are kept: what `balance.py` counts, one by one.

For the audit: it reads much, so nothing that runs asks for it.
"""

from dataclasses import dataclass

import redis

from broker.group_ends import ends_by_group_id
from broker.keys import Keys
from broker.run_record import born
from broker.scripts import Script

_WHEREABOUTS = Script("group_locations")


@dataclass(frozen=True)
class Whereabouts:
    """One moment of a run."""

    server: str
    """Tells these keys from others of the same name."""
    issued: int
    """Group ids 0 .. issued - 1."""
    leased: tuple[int, ...]
    reissue: tuple[int, ...]
    stream: tuple[int | None, ...]
    """None: an entry that no actor published."""
    ring: tuple[int, ...]
    batches: dict[int, tuple[int, ...]]
    """Step -> its groups, as far back as a checkpoint may need them."""
    committed: int
    taken: int
    ended: dict[int, str]
    """Group id -> `trained`, `filtered.REASON`, `replaced`, `stale` or `failed.REASON`."""
    counters: dict[str, int]


def read_whereabouts(client: redis.Redis, keys: Keys) -> Whereabouts:
    """The places of all groups at one moment, by one read-only script."""
    names = [keys.leases, keys.reissue, keys.rollouts, keys.ring, keys.batches, keys.learner]
    issued, leased, reissue, stream, ring, batches, committed, taken, ended, codes, failures, counters = _WHEREABOUTS(
        client, [*names, keys.ended, keys.ended_codes, keys.failures, keys.counters]
    )
    return Whereabouts(
        server=born(client, keys),
        issued=issued,
        leased=tuple(map(int, leased)),
        reissue=tuple(map(int, reissue)),
        stream=tuple(int(value) if value else None for value in stream),
        ring=tuple(map(int, ring)),
        batches={int(entry_id.split(b"-")[0]): tuple(map(int, joined.split())) for entry_id, joined in batches},
        committed=committed,
        taken=taken,
        ended=ends_by_group_id(ended, _pairs(codes), _pairs(failures)),
        counters={name: int(count) for name, count in _pairs(counters).items()},
    )


def _pairs(flat: list[bytes]) -> dict[str, str]:
    """What HGETALL returns inside a script: field, value, field, ..."""
    texts = [value.decode() for value in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))
