"""A replaced incarnation of the learner may not write."""

from collections.abc import Callable

import pytest
import redis

from broker.errors import Fenced
from broker.keys import Keys
from broker.records import WeightAnnouncement
from broker.ring import Ring
from broker.weights import WeightBoard
from tests.broker.broker_parts import BrokerParts

OLD, NEW = "learner-0@1.0", "learner-0@1.1"


@pytest.fixture
def broker(client: redis.Redis, keys: Keys) -> BrokerParts:
    """The ring holds the groups of two steps."""
    broker = BrokerParts(client, keys)
    for n in range(4):
        broker.put_one(f"a/{n}")
    return broker


def ring(broker: BrokerParts, incarnation: str) -> Ring:
    return Ring(broker.client, broker.keys, 8, incarnation=incarnation)


OPERATIONS: dict[str, Callable[[Ring], object]] = {
    "take": lambda ring: ring.take(2, 4, max_lag=None),
    "commit": lambda ring: ring.commit(1),
    "adopt": lambda ring: ring.adopt(1),
    "trim": lambda ring: ring.trim(0),
    "require_admitted": lambda ring: ring.require_admitted(),
}


def test_without_an_admission_every_learner_may_write(broker: BrokerParts) -> None:
    assert ring(broker, OLD).take(1, 4, max_lag=None) == [0, 1]
    ring(broker, OLD).require_admitted()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_replaced_incarnation_is_refused_and_changes_nothing(broker: BrokerParts, operation: str) -> None:
    old = ring(broker, OLD)
    old.admit(OLD)
    assert old.take(1, 4, max_lag=None) == [0, 1]
    old.admit(NEW)
    before = broker.balance()
    with pytest.raises(Fenced, match=NEW):
        OPERATIONS[operation](old)
    assert broker.balance() == before


def test_the_successor_gets_the_batch_that_was_taken(broker: BrokerParts) -> None:
    old, new = ring(broker, OLD), ring(broker, NEW)
    old.admit(OLD)
    batch = old.take(1, 4, max_lag=None)
    old.admit(NEW)
    assert new.adopt(0) == 0
    assert new.take(1, 4, max_lag=None) == batch
    assert new.commit(1)
    new.require_admitted()
    new.trim(1)


def test_a_replaced_incarnation_announces_no_weights(broker: BrokerParts) -> None:
    announcement = WeightAnnouncement(version=1, backend="file", path="/w/1")
    ring(broker, NEW).admit(NEW)
    with pytest.raises(Fenced, match="learner is " + NEW):
        WeightBoard(broker.client, broker.keys, incarnation=OLD).announce(announcement)
    assert WeightBoard(broker.client, broker.keys, incarnation=NEW).announce(announcement)
