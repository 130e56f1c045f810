"""Reports, heartbeats, health of roles, and the stop request. All can be written while the server is out of memory."""

import time
from collections.abc import Mapping
from typing import cast

import redis

from broker.connection import Entries
from broker.keys import Keys
from broker.reports import Heartbeat, R, Report, from_fields, has_kind, text_of, to_fields
from broker.scripts import Script

_APPEND, _BEAT, _NOTE = Script("append"), Script("beat"), Script("note")
KEPT_REPORTS = 20_000
"""Default for writers without settings; a run uses `broker.kept_reports`."""
MAX_POLL_INTERVAL_S = 5.0
"""Largest silence that the time between two calls of `Heartbeats.silence` adds, seconds."""
_PAGE = 5_000


class Metrics:
    """The reports of a run, one stream per room; `broker/reports.py` defines them."""

    def __init__(self, client: redis.Redis, keys: Keys, *, keep: int = KEPT_REPORTS) -> None:
        """`keep`: about how many of the newest reports of a room Redis keeps."""
        self._client, self._keys, self._keep = client, keys, keep

    def report(self, report: Report) -> None:
        """Appends one report to the stream of its room. Floats keep all their digits."""
        append_entry(self._client, self._keys.metrics(report.room), self._keep, to_fields(report))

    def read(self, kind: type[R], start: str = "-") -> list[R]:
        """Reports of one kind from `start` on: `-` from the first, `(ID` after the report with this id."""
        return [from_fields(kind, entry) for entry in self.entries(kind.room, start) if has_kind(kind, entry)]

    def entries(self, room: str, start: str = "-") -> list[dict[str, str]]:
        """Reports of all kinds of a room in wire form; `start` as in `read`."""
        return read_entries(self._client, self._keys.metrics(room), start)


class Heartbeats:
    """The newest heartbeat of each role, by the server's clock."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys
        self._seen: dict[str, tuple[float, float]] = {}
        """Role -> (its newest heartbeat, unix seconds of the server; its silence at the last call, seconds)."""
        self._polled_at = 0.0

    def beat(self, role: str, status: str) -> None:
        """Writes a heartbeat; `status`: what the role does or waits for."""
        _BEAT(self._client, [self._keys.heartbeats], role, status)

    def all(self) -> dict[str, Heartbeat]:
        """Role -> its newest heartbeat."""
        pairs = cast(dict[bytes, bytes], self._client.hgetall(self._keys.heartbeats))
        return {role.decode(): Heartbeat.decode(value.decode()) for role, value in pairs.items()}

    def status(self, role: str) -> str:
        """Status of a role's newest heartbeat; empty before the first."""
        value = cast(bytes | None, self._client.hget(self._keys.heartbeats, role))
        return "" if value is None else Heartbeat.decode(value.decode()).status

    def silence(self) -> dict[str, float]:
        """Role -> seconds since its newest heartbeat.

        Measured by the server's clock at the first call and by this process's clock afterwards, so that no role looks
        dead because the server's clock was set. The time between two calls counts for at most `MAX_POLL_INTERVAL_S`, so
        that no role looks dead after an outage of the server.
        """
        seconds, microseconds = self._client.time()
        now, beats = time.monotonic(), self.all()
        passed_s = min(now - self._polled_at, MAX_POLL_INTERVAL_S)
        seen = {}
        for role, beat in beats.items():
            before, silent_s = self._seen.get(role, (None, 0.0))
            if before is None:
                silent_s = max(0.0, seconds + microseconds / 1e6 - beat.unix_s)
            else:
                silent_s = silent_s + passed_s if beat.unix_s == before else 0.0
            seen[role] = (beat.unix_s, silent_s)
        self._seen, self._polled_at = seen, now
        return {role: silent_s for role, (_, silent_s) in seen.items()}

    def forget(self, role: str) -> None:
        """Removes a role that will not be restarted."""
        self._client.hdel(self._keys.heartbeats, role)


class HealthBoard:
    """The health of each role as concluded by the driver (`deploy/cluster/health.py`), for viewers."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys

    def note(self, role: str, health: str) -> None:
        _NOTE(self._client, [self._keys.health], role, health, "replace")

    def all(self) -> dict[str, str]:
        """Role -> its health."""
        pairs = cast(dict[bytes, bytes], self._client.hgetall(self._keys.health))
        return {role.decode(): health.decode() for role, health in pairs.items()}


class Control:
    """The request to stop the run, which every role polls. The first reason is kept."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys

    def stop(self, reason: str) -> None:
        """Requests every role to finish and exit."""
        _NOTE(self._client, [self._keys.control], "stop", reason, "first")

    def stopped(self) -> str | None:
        """Why the run was stopped; None when it was not."""
        reason = cast(bytes | None, self._client.hget(self._keys.control, "stop"))
        return None if reason is None else reason.decode()

    def clear(self) -> None:
        """Removes the request of an earlier run, before a resume."""
        self._client.hdel(self._keys.control, "stop")


def append_entry(client: redis.Redis, key: str, keep: int, values: Mapping[str, float | int | str]) -> None:
    """Appends plain text fields to a stream of about `keep` entries, even while the server is out of memory."""
    fields = [part for name, value in values.items() for part in (name, text_of(value))]
    _APPEND(client, [key], keep, *fields)


def read_entries(client: redis.Redis, key: str, start: str = "-") -> list[dict[str, str]]:
    """Entries of a stream from `start` on, oldest first; `start` as in `Metrics.read`."""
    entries: list[dict[str, str]] = []
    while True:
        page = cast(Entries, client.xrange(key, min=start, count=_PAGE))
        entries += [plain_entry(entry_id, fields) for entry_id, fields in page]
        if len(page) < _PAGE:
            return entries
        start = f"({page[-1][0].decode()}"


def plain_entry(entry_id: bytes, fields: Mapping[bytes, bytes]) -> dict[str, str]:
    """An entry as text, its id under `id`."""
    return {"id": entry_id.decode()} | {name.decode(): value.decode() for name, value in fields.items()}
