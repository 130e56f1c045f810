"""Which run the keys of a name belong to; on a server that other runs share, nobody takes over keys by accident."""

import secrets
import time
from typing import cast

import redis

from broker.errors import UsageError
from broker.keys import Keys


def open_run(client: redis.Redis, keys: Keys, settings_hash: str, *, resume: bool) -> None:
    """Claim the keys of a run, or go on with them.

    Raises UsageError when they belong to another run, or to the same one under other settings.
    """
    known = client.hget(keys.run, "settings_hash")
    if known is not None and not resume:
        raise UsageError(
            f"Redis already holds a run under {keys.prefix}*: choose another run.name, set run.resume=true, "
            "or delete those keys"
        )
    if known is not None and known != settings_hash.encode():
        raise UsageError(
            "run.resume=true needs the settings the run was started with; only run.max_steps, run.max_groups and "
            "broker.url may change: compare with settings.yaml in the run folder"
        )
    client.hset(keys.run, mapping={"settings_hash": settings_hash, "opened_unix_s": int(time.time())})
    client.hsetnx(keys.run, "born", secrets.token_hex(8))


def holds_run(client: redis.Redis, keys: Keys) -> bool:
    """Whether the server knows a run of this name."""
    return bool(client.exists(keys.run))


def born(client: redis.Redis, keys: Keys) -> str:
    """Which life of these keys this is: a server that lost them, or another one, begins to count ordinals anew."""
    value = cast(bytes | None, client.hget(keys.run, "born"))
    return "" if value is None else value.decode()
