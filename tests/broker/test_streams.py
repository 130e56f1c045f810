import time

import pytest
import redis

from broker.keys import Keys
from broker.records import RolloutGroup, decode
from tests.broker.broker_parts import BrokerParts
from tests.groups import rollout_group


@pytest.fixture
def broker(client: redis.Redis, keys: Keys) -> BrokerParts:
    return BrokerParts(client, keys)


def test_opening_twice_loses_nothing(broker: BrokerParts) -> None:
    broker.publish_one("a/0")
    broker.stream.open()
    assert len(broker.read()) == 1


def test_a_group_is_delivered_to_one_consumer(broker: BrokerParts) -> None:
    broker.publish_one("a/0")
    (delivery,) = broker.read("c0")
    assert delivery.deliveries == 1
    assert decode(delivery.frame, RolloutGroup) == rollout_group(0)
    assert broker.read("c1") == []
    assert broker.stream.depth() == 1


def test_entries_of_a_dead_consumer_are_recovered_and_counted(broker: BrokerParts) -> None:
    broker.publish_one("a/0")
    broker.read("dead")
    time.sleep(0.03)
    (delivery,) = broker.read("alive", idle_s=0.02)
    assert delivery.deliveries == 2


def test_entries_are_recovered_one_at_a_time(broker: BrokerParts) -> None:
    for n in range(3):
        broker.publish_one(f"a/{n}")
    assert [d.deliveries for d in broker.read("dead", count=3)] == [1, 1, 1]
    for expected in (2, 3, 4):
        time.sleep(0.03)
        assert [d.deliveries for d in broker.read("next", count=3, idle_s=0.02)] == [expected]


def test_a_kept_entry_is_not_recovered(broker: BrokerParts) -> None:
    broker.publish_one("a/0")
    (delivery,) = broker.read("slow")
    for _ in range(4):
        time.sleep(0.02)
        broker.stream.keep("slow", [delivery.entry_id])
    assert broker.read("other", idle_s=0.04) == []
    time.sleep(0.05)
    assert broker.read("other", idle_s=0.04)[0].deliveries == 2


def test_a_dead_letter_keeps_its_bytes_and_is_counted_once(broker: BrokerParts) -> None:
    broker.publish_one("a/0")
    (delivery,) = broker.read()
    assert broker.stream.dead_letter(delivery.entry_id, "no reason")
    assert not broker.stream.dead_letter(delivery.entry_id, "no reason")
    assert broker.balance().failed == {"unreadable": 1}
    ((_, fields),) = broker.client.xrange(broker.keys.dead_letters)
    size = str(len(delivery.frame) + len("0")).encode()
    assert fields == {b"reason": b"no reason", b"bytes": size, b"ordinal": b"0", b"group": delivery.frame}


def test_an_empty_stream_returns_after_the_wait(broker: BrokerParts) -> None:
    started = time.monotonic()
    assert broker.stream.read("c0", count=1, block_s=0.05, claim_idle_s=9) == []
    assert time.monotonic() - started < 5.0
