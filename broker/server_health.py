"""Checks of the Redis server itself: whether it is durable, and whether it was restarted."""

from collections.abc import Mapping
from typing import Any

import redis

from broker.connection import Client
from conf.redact import redacted

WHOLE_SCRIPTS = (7, 2)
"""Older servers may load half of a script after a crash that tore the end of their append-only file."""


def durability_warnings(client: Client, url: str) -> list[str]:
    """Warnings about the durability of an external server, one sentence each.

    Sends BGREWRITEAOF to a server older than `WHOLE_SCRIPTS`, which repairs a torn end of its append-only file.
    """
    facts = _facts(client)
    name = f"broker.url={redacted(url)}"
    if "aof_enabled" in facts and not int(facts["aof_enabled"]):
        return [
            f"{name} has no append-only file, so the run is lost when it restarts: set appendonly yes and, to lose "
            "no acknowledged write, appendfsync always"
        ]
    if needs_rewrite(facts):
        try:
            client.bgrewriteaof()
        except redis.ResponseError as error:  # a rewrite is in progress, or the ACL forbids it
            return [
                f"{name} is Redis {facts['redis_version']}: after a crash, run BGREWRITEAOF on it before the next "
                f"run, or use 7.2 or newer ({error})"
            ]
    return []


def needs_rewrite(facts: Mapping[str, Any]) -> bool:
    """Whether the append-only file may end with half a script. `facts` are fields of INFO."""
    version = tuple(int(part) for part in str(facts.get("redis_version", "7.2")).split(".")[:2])
    return version < WHOLE_SCRIPTS and bool(int(facts.get("aof_enabled", 0)))


class RestartWatch:
    """Detects restarts of the server by its run id."""

    def __init__(self, client: Client, url: str) -> None:
        """`url` appears in the messages."""
        self._client, self._url = client, url
        self._run_id = self._read_run_id()

    def messages(self) -> list[str]:
        """Messages about a restart since the last call; empty when there was none."""
        run_id = self._read_run_id()
        if run_id == self._run_id:
            return []
        self._run_id = run_id
        restarted = "Redis was restarted; the run continues (appendfsync everysec may repeat up to a second of work)"
        return [restarted, *durability_warnings(self._client, self._url)]

    def _read_run_id(self) -> str:
        return str(_facts(self._client, "server").get("run_id", ""))


def _facts(client: Client, *sections: str) -> dict[str, Any]:
    """Fields of INFO; empty when the ACL forbids it."""
    try:
        return client.info(*(sections or ("server", "persistence")))
    except redis.exceptions.NoPermissionError:
        return {}
