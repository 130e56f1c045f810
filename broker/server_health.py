"""What the driver knows of its Redis besides the run's keys: is it durable, was it restarted."""

from collections.abc import Mapping
from typing import Any

import redis

from broker.connection import Client
from conf.redact import redacted

WHOLE_SCRIPTS = (7, 2)
"""Older servers may load half of a script after a crash that tore the end of their file, and keep it for good."""


def durability_warnings(client: Client, url: str) -> list[str]:
    """What the user should know of a server of his own before a run trusts it, a sentence each.

    A server older than `WHOLE_SCRIPTS` is asked to write its file anew, which leaves nothing torn in it.
    """
    facts = _facts(client)
    name = f"broker.url={redacted(url)}"
    if "aof_enabled" in facts and not int(facts["aof_enabled"]):
        return [
            f"{name} keeps no append-only file: a run is lost when it restarts; set appendonly yes and, to lose "
            "nothing at all, appendfsync always"
        ]
    if needs_rewrite(facts):
        try:
            client.bgrewriteaof()
        except redis.ResponseError as error:  # one is under way, or we may not
            return [
                f"{name} is Redis {facts['redis_version']}: after a crash run BGREWRITEAOF on it before a run goes on, "
                f"or take 7.2 or newer ({error})"
            ]
    return []


def needs_rewrite(facts: Mapping[str, Any]) -> bool:
    """Whether the end of this server's append-only file may hold half of a script. `facts`: of INFO."""
    version = tuple(int(part) for part in str(facts.get("redis_version", "7.2")).split(".")[:2])
    return version < WHOLE_SCRIPTS and bool(int(facts.get("aof_enabled", 0)))


class RestartWatch:
    """Tells one incarnation of a server from the next by its run id."""

    def __init__(self, client: Client, url: str) -> None:
        """`url` is named when there is something to say."""
        self._client, self._url = client, url
        self._run_id = self._look()

    def messages(self) -> list[str]:
        """What there is to say since the last call: it was restarted, and what may be lost by that."""
        run_id = self._look()
        if run_id == self._run_id:
            return []
        self._run_id = run_id
        said = "Redis was restarted; the run goes on (with appendfsync everysec up to a second of work may be repeated)"
        return [said, *durability_warnings(self._client, self._url)]

    def _look(self) -> str:
        return str(_facts(self._client, "server").get("run_id", ""))


def _facts(client: Client, *sections: str) -> dict[str, Any]:
    """Of INFO; nothing where the user may not ask."""
    try:
        return client.info(*(sections or ("server", "persistence")))
    except redis.exceptions.NoPermissionError:
        return {}
