"""How a role reaches Redis, and how long it bears with it.

redis-py repeats a command whose reply was lost, which turns one XADD into two entries. Its own retries are
switched off here. `with_retries` repeats whole operations that the server knows to be repetitions.
"""

import math
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.retry import Retry

from broker.errors import BrokerFull, BrokerLost, BrokerUnreachable, UsageError
from conf.redact import redacted

T = TypeVar("T")

Client = redis.Redis
"""The type of a connection, for those who only pass it on."""

Entries = list[tuple[bytes, dict[bytes, bytes]]]
"""Stream entries as a client of `connect` returns them: (id, fields)."""

OLDEST_VERSION = (7, 0)
REPLY_TIMEOUT_S = 10.0
"""Seconds a reply may take. Commands that wait on the server wait in slices of `BLOCK_SLICE_S`, far below it."""
BLOCK_SLICE_S = 1.0


def connect(
    url: str, *, client_name: str, timeout_s: float = 5.0, patience_s: float | None = None
) -> redis.Redis:
    """A client of the server at `url`, which answered within `timeout_s` and is one this product can use.

    With `patience_s` every command waits so long for a server that went away: for a role whose commands may all be
    repeated. Raises `BrokerUnreachable` when nobody answers, `UsageError` when the server is too old or evicts keys.
    """
    try:
        client = (redis.Redis if patience_s is None else PatientClient).from_url(
            url,
            client_name=client_name.replace(" ", "-"),
            decode_responses=False,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,  # a role may not even tell its library's name
            socket_connect_timeout=max(timeout_s, 0.1),
            socket_timeout=REPLY_TIMEOUT_S,
        )
    except ValueError as error:
        raise BrokerUnreachable(f"broker.url={redacted(url)} is not a Redis URL: {error}") from error
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            client.ping()
            break
        except redis.AuthenticationError as error:
            raise BrokerUnreachable(f"broker.url={redacted(url)}: the server refused the password: {error}") from error
        except (redis.ConnectionError, redis.TimeoutError) as error:
            if time.monotonic() >= deadline:
                raise BrokerUnreachable(
                    f"broker.url={redacted(url)}: no answer within {timeout_s:g} s ({error}); start a Redis or "
                    "Valkey >= 7.0 there, or set broker.url=null for the embedded one"
                ) from error
            time.sleep(0.05)
    _refuse_unusable(client, url)
    if isinstance(client, PatientClient):
        client.patience_s = patience_s
    return client


def _refuse_unusable(client: redis.Redis, url: str) -> None:
    """Too old a server breaks scripts apart; one that evicts loses a whole queue at once."""
    try:
        version = str(client.info("server")["redis_version"])
    except redis.exceptions.NoPermissionError:
        pass  # an ACL without +info: the scripts' `#!lua` line makes a server below 7.0 refuse them by name
    else:
        if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_VERSION:
            raise UsageError(f"broker.url={redacted(url)} is Redis {version}; 7.0 or newer is needed")
    try:
        policy = client.config_get("maxmemory-policy").get("maxmemory-policy", "noeviction")
    except redis.ResponseError:
        return  # managed servers hide CONFIG; their policy is the operator's word
    if policy != "noeviction":
        raise UsageError(
            f"broker.url={redacted(url)} has maxmemory-policy {policy}, which throws queues away; set noeviction"
        )


def block_milliseconds(wait_s: float) -> int | None:
    """BLOCK of a reading command: at most one slice; None (do not block) when there is no time to wait.

    BLOCK 0 would wait for ever, past the client's own time-out.
    """
    return math.ceil(min(wait_s, BLOCK_SLICE_S) * 1000) if wait_s > 0 else None


def once(operation: Callable[[], T]) -> T:
    """One try, for those who come again anyway. Raises `BrokerUnreachable` when the server is away or refuses us."""
    try:
        return operation()
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise BrokerUnreachable(f"Redis did not answer: {error}") from error


def with_retries(operation: Callable[[], T], *, deadline_s: float) -> T:
    """Repeat an idempotent operation while Redis is away or full, for `deadline_s` at most.

    Raises `BrokerLost` or `BrokerFull` when the deadline passes; anything else rises at once.
    """
    deadline = time.monotonic() + deadline_s
    pause_s = 0.02
    while True:
        try:
            return operation()
        except redis.AuthenticationError:
            raise
        except (redis.ConnectionError, redis.TimeoutError) as error:
            if time.monotonic() + pause_s > deadline:
                raise BrokerLost(f"Redis did not answer for {deadline_s:g} s: {error}") from error
        except redis.OutOfMemoryError as error:
            if time.monotonic() + pause_s > deadline:
                raise BrokerFull(
                    f"Redis was out of memory for {deadline_s:g} s and nothing drained it; raise "
                    "broker.max_memory_gib, or lower learner.checkpoint_every"
                ) from error
        time.sleep(pause_s * random.uniform(0.5, 1.0))  # actors must not come back in step
        pause_s = min(2 * pause_s, 1.0)


class PatientClient(redis.Redis):
    """Waits `patience_s` for a server that went away, then raises `BrokerLost`, and from then on at once."""

    patience_s: float | None = None
    """None until it is connected: whoever connects has a deadline of his own."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        command: Callable[..., Any] = super().execute_command
        return self.patiently(lambda: command(*args, **options))

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> "_PatientPipeline":
        pipe = _PatientPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        pipe.owner = self
        return pipe

    def patiently(self, operation: Callable[[], T]) -> T:
        if self.patience_s is None:
            return operation()
        try:
            return with_retries(operation, deadline_s=self.patience_s)
        except BrokerLost:
            self.patience_s = 0.0
            raise


class _PatientPipeline(Pipeline):
    """A failed execution forgets its commands, so they are kept."""

    owner: PatientClient

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        commands = list(self.command_stack)

        def again() -> list[Any]:
            self.command_stack = list(commands)
            return super(_PatientPipeline, self).execute(raise_on_error)

        return self.owner.patiently(again)
