import threading
import time
from pathlib import Path

import pytest
import redis

from broker.connection import Retrying, connect, with_retries
from broker.errors import BrokerFull, BrokerLost, BrokerUnreachable, UsageError
from deploy.cluster.redis_server import EmbeddedRedis


def test_an_unreachable_server_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(BrokerUnreachable) as caught:
        connect(f"unix://:secret@{tmp_path}/nothing.sock", client_name="test", timeout_s=0.1)
    message = str(caught.value)
    assert "broker.url" in message
    assert "broker.url=null" in message
    assert "secret" not in message
    assert "\n" not in message


def test_a_wrong_password_is_refused_at_once(redis_server: EmbeddedRedis) -> None:
    wrong = redis_server.start().replace("unix://:", "unix://:not-")
    started = time.monotonic()
    with pytest.raises(BrokerUnreachable, match="password"):
        connect(wrong, client_name="test", timeout_s=30)
    assert time.monotonic() - started < 5


def test_an_invalid_url_is_refused() -> None:
    with pytest.raises(BrokerUnreachable, match="not a Redis URL"):
        connect("http://localhost", client_name="test")


def test_a_server_that_evicts_is_refused(redis_url: str, client: redis.Redis) -> None:
    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(UsageError, match="noeviction"):
            connect(redis_url, client_name="test")
    finally:
        client.config_set("maxmemory-policy", "noeviction")


def test_the_client_never_repeats_a_command_on_its_own(redis_url: str, client: redis.Redis, run_name: str) -> None:
    """A blocking read whose connection is lost must raise; a retried write would be executed twice."""
    victim = connect(redis_url, client_name="victim")
    victim_id = victim.client_id()
    timer = threading.Timer(0.1, lambda: client.client_kill_filter(_id=str(victim_id)))
    timer.start()
    with pytest.raises(redis.ConnectionError):
        victim.xread({f"pope:{{{run_name}}}:nothing": "$"}, block=5000)
    timer.join()


def test_an_operation_is_retried_until_the_server_answers() -> None:
    events: list[str] = []

    def operation() -> int:
        events.append("call")
        if len(events) < 3:
            raise redis.ConnectionError("away")
        return 7

    assert with_retries(operation, deadline_s=10) == 7
    assert len(events) == 3
    events.clear()
    assert Retrying(10)(operation) == 7
    assert len(events) == 3


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (redis.ConnectionError("away"), BrokerLost),
        (redis.TimeoutError("slow"), BrokerLost),
        (redis.OutOfMemoryError("full"), BrokerFull),
    ],
)
def test_retries_end_at_the_deadline_with_a_named_error(error: Exception, raised: type[Exception]) -> None:
    def operation() -> None:
        raise error

    started = time.monotonic()
    with pytest.raises(raised, match=r"0\.1 s"):
        Retrying(0.1)(operation)
    assert time.monotonic() - started < 5.0


def test_other_errors_are_not_retried() -> None:
    events: list[str] = []

    def operation() -> None:
        events.append("call")
        raise redis.AuthenticationError("no")

    with pytest.raises(redis.AuthenticationError):
        with_retries(operation, deadline_s=10)
    assert events == ["call"]


def test_a_retrying_client_does_not_retry_while_connecting(tmp_path: Path) -> None:
    with pytest.raises(BrokerUnreachable, match=r"no answer within 0\.2 s"):
        connect(f"unix://{tmp_path}/absent.sock", client_name="test", timeout_s=0.2, retry_s=60)


def test_a_retrying_client_retries_until_its_deadline_and_then_never_again(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path, max_memory_gib=0.1)
    client = connect(server.start(), client_name="test", retry_s=0.3)
    server.stop()
    started = time.monotonic()
    with pytest.raises(BrokerLost, match=r"0\.3 s"):
        client.get("key")
    waited_s = time.monotonic() - started
    with client.pipeline() as pipe:
        pipe.get("key")
        with pytest.raises(BrokerLost):
            pipe.execute()
    assert time.monotonic() - started < waited_s + 0.2
