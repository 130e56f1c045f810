"""Small news of a run: numbers of each room, signs of life, the wish to stop. All of it survives a full server."""

import time
from collections.abc import Mapping
from typing import cast

import redis

from broker.connection import Entries
from broker.keys import Keys
from broker.scripts import Script

_APPEND, _BEAT, _NOTE = Script("append"), Script("beat"), Script("note")
KEPT_REPORTS = 20_000
"""Where a writer has no settings; a run has `broker.kept_reports`."""
LONGEST_LOOK_S = 5.0
"""What nobody looked at does not count against a role; whoever looks does so far more often."""
_PAGE = 5_000


class Metrics:
    """Reports of a room, newest last. Keys are `room/what/stat`; the entry id holds the server's time."""

    def __init__(self, client: redis.Redis, keys: Keys, *, keep: int = KEPT_REPORTS) -> None:
        """`keep`: about how many reports of a room stay, the newest."""
        self._client, self._keys, self._keep = client, keys, keep

    def report(self, room: str, values: Mapping[str, float | int | str]) -> None:
        """Append one report. A float is written so that reading it back gives the same number."""
        append_entry(self._client, self._keys.metrics(room), self._keep, values)

    def read(self, room: str, start: str = "-") -> list[dict[str, str]]:
        """Reports from `start` on: `-` from the first, `(ID` after the report whose field `id` is ID."""
        return read_entries(self._client, self._keys.metrics(room), start)


class Heartbeats:
    """When each role last gave a sign of life, by the server's clock."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys
        self._seen: dict[str, tuple[float, float]] = {}
        """Role -> its newest sign of life (server) and how silent it was at the last look, seconds."""
        self._looked_at = 0.0

    def beat(self, role: str, status: str) -> None:
        """`status` says what the role does or waits for."""
        _BEAT(self._client, [self._keys.heartbeats], role, status)

    def all(self) -> dict[str, tuple[float, str]]:
        """Role -> (unix seconds of the server, status)."""
        beats = {}
        pairs = cast(dict[bytes, bytes], self._client.hgetall(self._keys.heartbeats))
        for role, value in pairs.items():
            moment_ms, status = value.decode().split(" ", 1)
            beats[role.decode()] = (int(moment_ms) / 1000, status)
        return beats

    def status(self, role: str) -> str:
        """What a role said last; empty when it never spoke."""
        value = cast(bytes | None, self._client.hget(self._keys.heartbeats, role))
        return "" if value is None else value.decode().split(" ", 1)[1]

    def silence(self) -> dict[str, float]:
        """Role -> seconds since its last sign of life.

        By the server's clock at the first look, by this process's from then on: a clock that is set anew kills nobody.
        Nor does a server that was away, so the time between two looks counts `LONGEST_LOOK_S` at most.
        """
        seconds, microseconds = self._client.time()
        now, beats = time.monotonic(), self.all()
        passed_s = min(now - self._looked_at, LONGEST_LOOK_S)
        seen = {}
        for role, (moment, _) in beats.items():
            before, silent_s = self._seen.get(role, (None, 0.0))
            if before is None:
                silent_s = max(0.0, seconds + microseconds / 1e6 - moment)
            else:
                silent_s = silent_s + passed_s if moment == before else 0.0
            seen[role] = (moment, silent_s)
        self._seen, self._looked_at = seen, now
        return {role: silent_s for role, (_, silent_s) in seen.items()}

    def forget(self, role: str) -> None:
        """Remove a role that is gone for good."""
        self._client.hdel(self._keys.heartbeats, role)


class HealthBoard:
    """What the driver holds of each role (`deploy/cluster/health.py`), for those who look on."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys

    def note(self, role: str, health: str) -> None:
        _NOTE(self._client, [self._keys.health], role, health, "replace")

    def all(self) -> dict[str, str]:
        """Role -> its health."""
        pairs = cast(dict[bytes, bytes], self._client.hgetall(self._keys.health))
        return {role.decode(): health.decode() for role, health in pairs.items()}


class Control:
    """The one word everybody obeys: stop. The first reason stands."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys

    def stop(self, reason: str) -> None:
        """Ask every role to wind down."""
        _NOTE(self._client, [self._keys.control], "stop", reason, "first")

    def stopped(self) -> str | None:
        """Why the run ends; None while it goes on."""
        reason = cast(bytes | None, self._client.hget(self._keys.control, "stop"))
        return None if reason is None else reason.decode()

    def clear(self) -> None:
        """Forget the stop of an earlier run, before a resume."""
        self._client.hdel(self._keys.control, "stop")


def append_entry(client: redis.Redis, key: str, keep: int, values: Mapping[str, float | int | str]) -> None:
    """Append plain text fields to a stream that keeps about `keep` entries, even while the server is full."""
    fields = [part for name, value in values.items() for part in (name, _text(value))]
    _APPEND(client, [key], keep, *fields)


def read_entries(client: redis.Redis, key: str, start: str = "-") -> list[dict[str, str]]:
    """Entries of a stream from `start` on, oldest first; see `Metrics.read`."""
    entries: list[dict[str, str]] = []
    while True:
        page = cast(Entries, client.xrange(key, min=start, count=_PAGE))
        entries += [plain_entry(entry_id, fields) for entry_id, fields in page]
        if len(page) < _PAGE:
            return entries
        start = f"({page[-1][0].decode()}"


def _text(value: float | int | str) -> str:
    return repr(float(value)) if isinstance(value, float) else str(value)


def plain_entry(entry_id: bytes, fields: Mapping[bytes, bytes]) -> dict[str, str]:
    """An entry as text, its id under `id`."""
    return {"id": entry_id.decode()} | {name.decode(): value.decode() for name, value in fields.items()}
