"""Small news of a run: numbers of each room, signs of life, the wish to stop. All of it survives a full server."""

from collections.abc import Mapping
from typing import cast

import redis

from broker.connection import Entries
from broker.keys import Keys
from broker.scripts import Script

_APPEND, _BEAT, _NOTE = Script("append"), Script("beat"), Script("note")
KEPT_REPORTS = 200_000
KEPT_SAMPLES = 500
_PAGE = 5_000


class Metrics:
    """Reports of a room, newest last. Keys are `room/what/stat`; the entry id holds the server's time."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys

    def report(self, room: str, values: Mapping[str, float | int | str]) -> None:
        """Append one report. A float is written so that reading it back gives the same number."""
        _append(self._client, self._keys.metrics(room), KEPT_REPORTS, values)

    def read(self, room: str, start: str = "-") -> list[dict[str, str]]:
        """Reports from `start` on: `-` from the first, `(ID` after the report whose field `id` is ID."""
        reports: list[dict[str, str]] = []
        while True:
            page = cast(Entries, self._client.xrange(self._keys.metrics(room), min=start, count=_PAGE))
            reports += [_report(entry_id, fields) for entry_id, fields in page]
            if len(page) < _PAGE:
                return reports
            start = f"({page[-1][0].decode()}"


class Samples:
    """Rollouts in readable text, the newest few hundred, for people to look at."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys

    def add(self, values: Mapping[str, float | int | str]) -> None:
        _append(self._client, self._keys.samples, KEPT_SAMPLES, values)

    def newest(self, count: int) -> list[dict[str, str]]:
        """The newest `count` samples, newest first."""
        entries = cast(Entries, self._client.xrevrange(self._keys.samples, count=count))
        return [_report(entry_id, fields) for entry_id, fields in entries]


class Heartbeats:
    """When each role last gave a sign of life, by the server's clock."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys

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

    def silence(self) -> dict[str, float]:
        """Role -> seconds since its last sign of life; both ends by the server's clock."""
        seconds, microseconds = self._client.time()
        now = seconds + microseconds / 1e6
        return {role: now - moment for role, (moment, _) in self.all().items()}

    def forget(self, role: str) -> None:
        """Remove a role that is gone for good."""
        self._client.hdel(self._keys.heartbeats, role)


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


def _append(client: redis.Redis, key: str, keep: int, values: Mapping[str, float | int | str]) -> None:
    fields = [part for name, value in values.items() for part in (name, _text(value))]
    _APPEND(client, [key], keep, *fields)


def _text(value: float | int | str) -> str:
    return repr(float(value)) if isinstance(value, float) else str(value)


def _report(entry_id: bytes, fields: Mapping[bytes, bytes]) -> dict[str, str]:
    return {"id": entry_id.decode()} | {name.decode(): value.decode() for name, value in fields.items()}
