"""The location of every issued group, by group id, and the batches still kept; `balance.py` has the counts.

Used by `pope audit`. The reply is large; do not call it in a loop.
"""

from dataclasses import dataclass

import redis

from broker.group_outcomes import outcomes_by_group_id
from broker.keys import Keys
from broker.run_record import read_keys_id
from broker.scripts import Script

_GROUP_LOCATIONS = Script("group_locations")


@dataclass(frozen=True)
class GroupLocations:
    """The locations and outcomes of all groups of a run at one moment."""

    server: str
    """The id of these keys, see `read_keys_id`."""
    issued: int
    """The group ids are 0 .. issued - 1."""
    leased: tuple[int, ...]
    reissue: tuple[int, ...]
    stream: tuple[int | None, ...]
    """None for an entry that no actor published."""
    ring: tuple[int, ...]
    batches: dict[int, tuple[int, ...]]
    """Step -> its group ids, for the steps that a checkpoint may need."""
    committed: int
    taken: int
    ended: dict[int, str]
    """Group id -> `trained`, `filtered.REASON`, `replaced`, `stale` or `failed.REASON`."""
    counters: dict[str, int]
    skipped: int = 0
    """Steps that the learner trained and that were never taken from this server."""


def read_group_locations(client: redis.Redis, keys: Keys) -> GroupLocations:
    """The locations of all groups at one moment, by one read-only script."""
    names = [keys.leases, keys.reissue, keys.rollouts, keys.ring, keys.batches, keys.learner]
    answer = _GROUP_LOCATIONS(client, [*names, keys.ended, keys.ended_codes, keys.failures, keys.counters])
    issued, leased, reissue, stream, ring, batches, committed, taken, ended, codes, failures, counters, skipped = answer
    return GroupLocations(
        server=read_keys_id(client, keys),
        issued=issued,
        leased=tuple(map(int, leased)),
        reissue=tuple(map(int, reissue)),
        stream=tuple(int(value) if value else None for value in stream),
        ring=tuple(map(int, ring)),
        batches={int(entry_id.split(b"-")[0]): tuple(map(int, joined.split())) for entry_id, joined in batches},
        committed=committed,
        taken=taken,
        ended=outcomes_by_group_id(ended, _pairs(codes), _pairs(failures)),
        counters={name: int(count) for name, count in _pairs(counters).items()},
        skipped=skipped,
    )


def _pairs(flat: list[bytes]) -> dict[str, str]:
    """The flat list field, value, field, ... that HGETALL returns inside a script, as a dict."""
    texts = [value.decode() for value in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))
