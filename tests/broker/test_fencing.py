"""An incarnation of the learner that was replaced may write nothing more."""

from collections.abc import Callable

import pytest
import redis

from broker.errors import Fenced
from broker.keys import Keys
from broker.records import WeightAnnouncement
from broker.ring import Ring
from broker.weights import WeightBoard
from tests.broker.house import House

OLD, NEW = "learner-0@1.0", "learner-0@1.1"


@pytest.fixture
def house(client: redis.Redis, keys: Keys) -> House:
    """Two steps' worth of groups in the ring."""
    house = House(client, keys)
    for n in range(4):
        house.put_one(f"a/{n}")
    return house


def ring(house: House, incarnation: str) -> Ring:
    return Ring(house.client, house.keys, 8, incarnation=incarnation)


DEEDS: dict[str, Callable[[Ring], object]] = {
    "take": lambda ring: ring.take(2, 4, max_lag=None),
    "commit": lambda ring: ring.commit(1),
    "adopt": lambda ring: ring.adopt(1),
    "trim": lambda ring: ring.trim(0),
    "still_admitted": lambda ring: ring.still_admitted(),
}


def test_a_learner_nobody_admitted_is_let_in(house: House) -> None:
    assert ring(house, OLD).take(1, 4, max_lag=None) == [0, 1]
    ring(house, OLD).still_admitted()


@pytest.mark.parametrize("deed", DEEDS)
def test_a_replaced_life_is_refused_and_changes_nothing(house: House, deed: str) -> None:
    old = ring(house, OLD)
    old.admit(OLD)
    assert old.take(1, 4, max_lag=None) == [0, 1]
    old.admit(NEW)
    before = house.balance()
    with pytest.raises(Fenced, match=NEW):
        DEEDS[deed](old)
    assert house.balance() == before


def test_its_successor_gets_the_batch_it_had_taken(house: House) -> None:
    old, new = ring(house, OLD), ring(house, NEW)
    old.admit(OLD)
    batch = old.take(1, 4, max_lag=None)
    old.admit(NEW)
    assert new.adopt(0) == 0
    assert new.take(1, 4, max_lag=None) == batch
    assert new.commit(1)
    new.still_admitted()
    new.trim(1)


def test_a_replaced_life_announces_no_weights(house: House) -> None:
    announcement = WeightAnnouncement(version=1, backend="file", path="/w/1")
    ring(house, NEW).admit(NEW)
    with pytest.raises(Fenced, match="learner is " + NEW):
        WeightBoard(house.client, house.keys, incarnation=OLD).announce(announcement)
    assert WeightBoard(house.client, house.keys, incarnation=NEW).announce(announcement)
