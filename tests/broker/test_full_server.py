"""A server out of memory refuses new groups and lets existing ones drain."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from broker.connection import connect, with_retries
from broker.errors import BrokerFull
from broker.keys import Keys
from broker.metrics import Control, Heartbeats, Metrics
from broker.records import WeightAnnouncement
from deploy.cluster.redis_server import EmbeddedRedis
from tests.broker.broker_parts import BrokerParts
from tests.groups import rollout_group, train_group
from tests.reports import actor_output


@pytest.fixture
def small_server(tmp_path: Path) -> Iterator[str]:
    with EmbeddedRedis(tmp_path / "redis", fsync="everysec", max_memory_gib=0.05) as server:
        yield server.url


@pytest.mark.faults
def test_a_full_server_refuses_new_groups_and_drains(small_server: str, keys: Keys) -> None:
    client = connect(small_server, client_name="test")
    broker = BrokerParts(client, keys, capacity=400, batch_groups=2)
    published = 24
    for n in range(published):
        broker.claim(f"a/{n}")
        broker.feed.publish(n, f"a/{n}", rollout_group(n, num_tokens=1000))
    broker.claim("a/late")
    client.config_set("maxmemory", "1mb")  # the groups take 0.4 MB, the server itself over 1 MB
    with pytest.raises(redis.OutOfMemoryError):
        broker.feed.publish(published, "a/late", rollout_group(published, num_tokens=1000))
    assert broker.balance().in_flight == {"leased": 1, "reissue": 0, "stream": published, "ring": 0, "taken": 0}

    with pytest.raises(BrokerFull, match=r"broker\.max_memory_gib"):
        with_retries(lambda: broker.claim("b/0"), deadline_s=0.1)
    assert broker.feed.renew([published], "a", lease_s=60) == [published]
    Heartbeats(client, keys).beat("actor-0", "waiting")
    Metrics(client, keys).report(actor_output())
    broker.board.announce(WeightAnnouncement(version=1, backend="file"))
    broker.board.hold("actor-0", 1)
    Control(client, keys).stop("test")

    for step in range(1, published // 2 + 1):
        for _ in range(2):
            entry_id, group = broker.read_one()
            if step % 3 == 0:
                broker.ring.drop(entry_id, group, "zero_advantage", step=step)
            else:
                assert broker.ring.put(entry_id, train_group(group), step=step)
        broker.balance()
    step = 1
    while broker.ring.take(step, 4, max_lag=None):
        broker.ring.commit(step)
        broker.ring.trim(step)
        step += 1
    assert step > 4
    client.config_set("maxmemory", "50mb")
    assert broker.claim("b/0") is not None
    assert broker.feed.publish(published, "a/late", rollout_group(published))
    assert broker.balance().trained == 2 * (step - 1)
    client.close()
