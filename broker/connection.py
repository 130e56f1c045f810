"""Connections to Redis, and the retry policy for idempotent operations.

redis-py repeats a command whose reply was lost, which turns one XADD into two entries. Its own retries are
therefore off. `with_retries` repeats whole operations, which the scripts on the server recognise as repetitions.
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
"""The type of a connection, for modules that do not import redis."""

Entries = list[tuple[bytes, dict[bytes, bytes]]]
"""Stream entries as a client made by `connect` returns them: (id, fields)."""

OLDEST_VERSION = (7, 0)
REPLY_TIMEOUT_S = 10.0
"""Seconds until a reply times out. Blocking commands block for `BLOCK_SLICE_S` at a time, far less."""
BLOCK_SLICE_S = 1.0


def connect(
    url: str, *, client_name: str, timeout_s: float = 5.0, retry_s: float | None = None
) -> redis.Redis:
    """Connects to the server at `url` and checks that it answers within `timeout_s` seconds and is usable.

    With `retry_s`, every command is retried for that many seconds while the server is unreachable; use it only where
    every command is idempotent. Raises `BrokerUnreachable` when there is no answer, `UsageError` when the server is too
    old or evicts keys.
    """
    try:
        client = (redis.Redis if retry_s is None else RetryingClient).from_url(
            url,
            client_name=client_name.replace(" ", "-"),
            decode_responses=False,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,  # the ACL of a role does not allow CLIENT SETINFO
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
    if isinstance(client, RetryingClient):
        client.retry_s = retry_s
    return client


def _refuse_unusable(client: redis.Redis, url: str) -> None:
    """Raises UsageError for a server that is too old for the scripts, or that would evict whole queues."""
    try:
        version = str(client.info("server")["redis_version"])
    except redis.exceptions.NoPermissionError:
        pass  # an ACL without +info; a server below 7.0 then refuses the `#!lua` line of the scripts
    else:
        if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_VERSION:
            raise UsageError(f"broker.url={redacted(url)} is Redis {version}; 7.0 or newer is needed")
    try:
        policy = client.config_get("maxmemory-policy").get("maxmemory-policy", "noeviction")
    except redis.ResponseError:
        return  # managed servers hide CONFIG; the operator is responsible for the policy
    if policy != "noeviction":
        raise UsageError(
            f"broker.url={redacted(url)} has maxmemory-policy {policy}, which evicts queues; set noeviction"
        )


def block_milliseconds(wait_s: float) -> int | None:
    """The BLOCK argument of a reading command: at most one slice; None (do not block) when `wait_s` is not positive.

    BLOCK 0 would block without a limit, past the client's own timeout.
    """
    return math.ceil(min(wait_s, BLOCK_SLICE_S) * 1000) if wait_s > 0 else None


def without_retries(operation: Callable[[], T]) -> T:
    """Calls `operation` once, for callers that poll. Raises `BrokerUnreachable` when the server does not answer."""
    try:
        return operation()
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise BrokerUnreachable(f"Redis did not answer: {error}") from error


def with_retries(operation: Callable[[], T], *, deadline_s: float) -> T:
    """Repeats an idempotent operation while Redis is unreachable or out of memory, for at most `deadline_s` seconds.

    Raises `BrokerLost` or `BrokerFull` when the deadline passes; any other error is raised at once.
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
                    f"Redis was out of memory for {deadline_s:g} s; raise "
                    "broker.max_memory_gib, or lower learner.checkpoint_every"
                ) from error
        time.sleep(pause_s * random.uniform(0.5, 1.0))  # jitter: actors must not retry at the same moment
        pause_s = min(2 * pause_s, 1.0)


class Retrying:
    """Retries an idempotent call while Redis is unreachable, for at most `deadline_s` seconds.

    >>> retrying = Retrying(config.deploy.dead_after_s)
    >>> version = retrying(board.version)
    >>> depth = await asyncio.to_thread(retrying, stream.depth)
    """

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s

    def __call__(self, operation: Callable[[], T]) -> T:
        """The result of `operation`. Raises what `with_retries` raises."""
        return with_retries(operation, deadline_s=self._deadline_s)


class RetryingClient(redis.Redis):
    """Retries every command for `retry_s` seconds, then raises `BrokerLost`; later commands are not retried."""

    retry_s: float | None = None
    """None while connecting: `connect` has its own deadline."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        command: Callable[..., Any] = super().execute_command
        return self.retrying(lambda: command(*args, **options))

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> "_RetryingPipeline":
        pipe = _RetryingPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        pipe.owner = self
        return pipe

    def retrying(self, operation: Callable[[], T]) -> T:
        if self.retry_s is None:
            return operation()
        try:
            return with_retries(operation, deadline_s=self.retry_s)
        except BrokerLost:
            self.retry_s = 0.0
            raise


class _RetryingPipeline(Pipeline):
    """Keeps a copy of its commands, because redis-py discards them when an execution fails."""

    owner: RetryingClient

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        commands = list(self.command_stack)

        def attempt() -> list[Any]:
            self.command_stack = list(commands)
            return super(_RetryingPipeline, self).execute(raise_on_error)

        return self.owner.retrying(attempt)
