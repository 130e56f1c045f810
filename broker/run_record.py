"""Which run the keys of a name belong to; on a server that other runs share, nobody takes over keys by accident."""

import secrets
import time
from collections.abc import Iterator, Mapping
from typing import cast

import redis

from broker.errors import UsageError
from broker.keys import Keys

LAYOUT = 2
"""Raised by every change of what the keys of a run hold. Keys that note none are of layout 1."""


def open_run(client: redis.Redis, keys: Keys, settings_hash: str, *, resume: bool) -> None:
    """Claim the keys of a run, or go on with them.

    Raises UsageError when they belong to another run, or to the same one under other settings or by another version.
    """
    known = client.hget(keys.run, "settings_hash")
    if known is not None and not resume:
        raise UsageError(
            f"Redis already holds a run under {keys.prefix}*: choose another run.name, set run.resume=true, "
            "or delete those keys"
        )
    if known is not None:
        require_layout(client, keys)
    if known is not None and known != settings_hash.encode():
        raise UsageError(
            "run.resume=true needs the settings the run was started with; only run.max_steps, run.max_groups and "
            "broker.url may change: compare with settings.yaml in the run folder"
        )
    client.hset(keys.run, mapping={"settings_hash": settings_hash, "layout": LAYOUT, "opened_unix_s": int(time.time())})
    client.hsetnx(keys.run, "born", secrets.token_hex(8))


def holds_run(client: redis.Redis, keys: Keys) -> bool:
    """Whether the server knows a run of this name."""
    return bool(client.exists(keys.run))


def require_layout(client: redis.Redis, keys: Keys) -> None:
    """Raises UsageError when another version of this program began the run: what its keys hold looks different."""
    layout = int(cast(bytes | None, client.hget(keys.run, "layout")) or 1)
    if layout != LAYOUT:
        raise UsageError(
            f"another version of pope-rl began the run under {keys.prefix}* (its keys have layout {layout}, this "
            f"version reads {LAYOUT}): go on with that version, or start a new run"
        )


def read_keys_id(client: redis.Redis, keys: Keys) -> str:
    """Random id of these keys: a server that lost them, or another server, counts group ids from 0 again."""
    value = cast(bytes | None, client.hget(keys.run, "born"))
    return "" if value is None else value.decode()


def describe_run(client: redis.Redis, keys: Keys, facts: Mapping[str, str | int]) -> None:
    """Note what a reader without the run's folder needs to know."""
    client.hset(keys.run, mapping={name: str(value) for name, value in facts.items()})


def read_run(client: redis.Redis, keys: Keys) -> dict[str, str]:
    """What is noted about a run; empty when the server does not know it."""
    pairs = cast(dict[bytes, bytes], client.hgetall(keys.run))
    return {name.decode(): value.decode() for name, value in pairs.items()}


def run_names(client: redis.Redis) -> list[str]:
    """The runs this server knows, by name; walks over all its keys. Raises UsageError for a user who may not."""
    keys = cast(Iterator[bytes], client.scan_iter(match=Keys("*").run, count=1000))
    try:
        return sorted(key.decode().split("{", 1)[1].split("}", 1)[0] for key in keys)
    except redis.exceptions.NoPermissionError as error:
        raise UsageError(f"this user may not list the server's runs ({error}); name the folder of a run") from error
