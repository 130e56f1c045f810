"""The record of a run in Redis: settings hash, layout and id, so that no run uses the keys of another."""

import secrets
import time
from collections.abc import Iterator, Mapping
from typing import cast

import redis

from broker.errors import UsageError
from broker.keys import Keys

LAYOUT = 2
"""Incremented by every change of the keys' contents. Keys without a layout have layout 1."""


def open_run(client: redis.Redis, keys: Keys, settings_hash: str, *, resume: bool) -> None:
    """Claims the keys of a new run, or continues with those of an existing one.

    Raises UsageError when the keys belong to another run, or were written under other settings or by another version.
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
    """Whether the server has a run of this name."""
    return bool(client.exists(keys.run))


def require_layout(client: redis.Redis, keys: Keys) -> None:
    """Raises UsageError when the keys were written by a version of this program with another layout."""
    layout = int(cast(bytes | None, client.hget(keys.run, "layout")) or 1)
    if layout != LAYOUT:
        raise UsageError(
            f"another version of pope-rl began the run under {keys.prefix}* (its keys have layout {layout}, this "
            f"version reads {LAYOUT}): continue with that version, or start a new run"
        )


def read_keys_id(client: redis.Redis, keys: Keys) -> str:
    """The random id of these keys. It changes when the keys are lost, because group ids then start again from 0."""
    value = cast(bytes | None, client.hget(keys.run, "born"))
    return "" if value is None else value.decode()


def describe_run(client: redis.Redis, keys: Keys, facts: Mapping[str, str | int]) -> None:
    """Records facts for readers that do not have the run folder."""
    client.hset(keys.run, mapping={name: str(value) for name, value in facts.items()})


def read_run(client: redis.Redis, keys: Keys) -> dict[str, str]:
    """The record of a run; empty when the server does not have it."""
    pairs = cast(dict[bytes, bytes], client.hgetall(keys.run))
    return {name.decode(): value.decode() for name, value in pairs.items()}


def run_names(client: redis.Redis) -> list[str]:
    """The names of all runs on this server; scans all its keys. Raises UsageError when the user may not."""
    keys = cast(Iterator[bytes], client.scan_iter(match=Keys("*").run, count=1000))
    try:
        return sorted(key.decode().split("{", 1)[1].split("}", 1)[0] for key in keys)
    except redis.exceptions.NoPermissionError as error:
        raise UsageError(f"this user may not list the server's runs ({error}); name the folder of a run") from error
