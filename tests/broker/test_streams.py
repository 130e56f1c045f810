import time

import pytest
import redis

from broker.keys import Keys
from broker.records import RolloutGroup, decode
from tests.broker.house import House
from tests.groups import rollout_group


@pytest.fixture
def house(client: redis.Redis, keys: Keys) -> House:
    return House(client, keys)


def test_opening_twice_loses_nothing(house: House) -> None:
    house.publish_one("a/0")
    house.stream.open()
    assert len(house.read()) == 1


def test_a_group_is_delivered_to_one_consumer(house: House) -> None:
    house.publish_one("a/0")
    (delivery,) = house.read("c0")
    assert delivery.deliveries == 1
    assert decode(delivery.frame, RolloutGroup) == rollout_group(0)
    assert house.read("c1") == []
    assert house.stream.depth() == 1


def test_what_a_dead_consumer_held_is_taken_over_and_counted(house: House) -> None:
    house.publish_one("a/0")
    house.read("dead")
    time.sleep(0.03)
    (delivery,) = house.read("alive", idle_s=0.02)
    assert delivery.deliveries == 2


def test_taking_over_is_one_by_one_so_that_a_poison_group_spares_its_neighbours(house: House) -> None:
    for n in range(3):
        house.publish_one(f"a/{n}")
    assert [d.deliveries for d in house.read("dead", count=3)] == [1, 1, 1]
    for expected in (2, 3, 4):
        time.sleep(0.03)
        assert [d.deliveries for d in house.read("next", count=3, idle_s=0.02)] == [expected]


def test_a_group_that_is_kept_is_not_taken_over(house: House) -> None:
    house.publish_one("a/0")
    (delivery,) = house.read("slow")
    for _ in range(4):
        time.sleep(0.02)
        house.stream.keep("slow", [delivery.entry_id])
    assert house.read("other", idle_s=0.04) == []
    time.sleep(0.05)
    assert house.read("other", idle_s=0.04)[0].deliveries == 2


def test_a_dead_letter_keeps_its_bytes_and_is_counted_once(house: House) -> None:
    house.publish_one("a/0")
    (delivery,) = house.read()
    assert house.stream.dead_letter(delivery.entry_id, "no reason")
    assert not house.stream.dead_letter(delivery.entry_id, "no reason")
    assert house.balance().failed == {"unreadable": 1}
    ((_, fields),) = house.client.xrange(house.keys.dead_letters)
    size = str(len(delivery.frame) + len("0")).encode()
    assert fields == {b"reason": b"no reason", b"bytes": size, b"ordinal": b"0", b"group": delivery.frame}


def test_an_empty_stream_answers_within_the_wait(house: House) -> None:
    started = time.monotonic()
    assert house.stream.read("c0", count=1, block_s=0.05, claim_idle_s=9) == []
    assert time.monotonic() - started < 5.0
