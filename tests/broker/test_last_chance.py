"""Under a bound on the lag a step waits for the groups that no later step can train, so slow groups are not lost."""

import heapq
import itertools
import random

import pytest
import redis

from broker.keys import Keys
from tests.broker.broker_parts import BrokerParts
from tests.groups import rollout_group, train_group

MAX_LAG = 1


@pytest.fixture
def broker(client: redis.Redis, keys: Keys) -> BrokerParts:
    """Batches of two groups of two samples, a ring of eight groups."""
    return BrokerParts(client, keys, capacity=16)


def claim(broker: BrokerParts, group_id: int, version: int) -> None:
    assert broker.claim(f"a/{group_id}", held_version=version, max_lag=MAX_LAG) == group_id


def publish(broker: BrokerParts, group_id: int, version: int) -> None:
    assert broker.feed.publish(group_id, f"a/{group_id}", rollout_group(group_id, version=version))


def finish(broker: BrokerParts, group_id: int, version: int) -> None:
    """Publishes a claimed group and puts it into the ring."""
    publish(broker, group_id, version)
    entry_id, group = broker.read_one()
    assert broker.ring.put(entry_id, train_group(group), step=0)


def take(broker: BrokerParts, step: int) -> list[int] | None:
    return broker.ring.take(step, 4, max_lag=MAX_LAG)


def one_step(broker: BrokerParts) -> None:
    """Groups 0 to 3 are claimed at version 0, and 0 and 1 trained; then 4 and 5 are claimed at version 1."""
    for group_id in range(4):
        claim(broker, group_id, 0)
    for group_id in (0, 1):
        finish(broker, group_id, 0)
    assert take(broker, 1) == [0, 1]
    broker.ring.commit(1)
    for group_id in (4, 5):
        claim(broker, group_id, 1)
        finish(broker, group_id, 1)


def test_a_step_waits_for_slow_groups_that_the_next_one_could_not_train(broker: BrokerParts) -> None:
    one_step(broker)
    assert take(broker, 2) is None, "groups 2 and 3 are still written; step 3 could not train version 0"
    finish(broker, 3, 0)
    publish(broker, 2, 0)
    assert take(broker, 2) is None, "group 2 is on the stream"
    entry_id, group = broker.read_one()
    broker.ring.put(entry_id, train_group(group), step=0)
    assert take(broker, 2) == [3, 2], "before those that arrived earlier and have time"
    broker.ring.commit(2)
    assert take(broker, 3) == [4, 5]
    assert broker.balance().stale == 0


def test_groups_that_were_returned_failed_or_dropped_are_not_waited_for(broker: BrokerParts) -> None:
    one_step(broker)
    broker.feed.fail(2, "a/2", "prompt_too_long")
    assert take(broker, 2) is None
    broker.feed.release("a")
    assert broker.balance().in_flight["reissue"] == 1
    assert take(broker, 2) == [4, 5]
    assert broker.client.hlen(broker.keys.claimed_versions) == 0


def test_a_group_that_was_filtered_is_not_waited_for(broker: BrokerParts) -> None:
    one_step(broker)
    finish(broker, 2, 0)
    publish(broker, 3, 0)
    entry_id, group = broker.read_one()
    broker.ring.drop(entry_id, group, "zero_advantage", step=0)
    assert take(broker, 2) == [2, 4]


def test_a_full_ring_is_not_waited_for(broker: BrokerParts) -> None:
    """Else it would replace groups, or the pusher would wait for the learner, which waits for it."""
    one_step(broker)
    for group_id in range(6, 12):
        assert take(broker, 2) is None
        broker.claim(f"b/{group_id}", held_version=9, max_lag=9)
        broker.feed.publish(group_id, f"b/{group_id}", rollout_group(group_id, version=1))
        entry_id, group = broker.read_one()
        broker.ring.put(entry_id, train_group(group), step=0)
    assert take(broker, 2) == [4, 5]


def test_a_published_group_that_no_stream_holds_is_not_waited_for(broker: BrokerParts) -> None:
    one_step(broker)
    finish(broker, 2, 0)
    publish(broker, 3, 0)
    assert take(broker, 2) is None
    broker.client.xtrim(broker.keys.rollouts, maxlen=0)
    assert take(broker, 2) == [2, 4]


def test_an_engine_with_old_weights_gets_no_returned_group(broker: BrokerParts) -> None:
    one_step(broker)
    broker.feed.release("a")
    assert broker.claim("b/0", held_version=0, max_lag=0) is None, "the next step trains nothing that it writes"
    assert broker.claim("b/0", held_version=1, max_lag=0) == 2


@pytest.mark.parametrize("seed", range(3))
def test_with_groups_of_any_duration_none_becomes_stale(broker: BrokerParts, seed: int) -> None:
    """An actor with room for five groups, a learner, and time that is counted. Before, 6 to 13 % became stale."""
    rng = random.Random(seed)
    now, held, step, busy = 0.0, 0, 0, False
    tokens, flying = itertools.count(), 0
    events: list[tuple[float, int, str, tuple[int, str, int]]] = []

    def later(seconds: float, what: str, group: tuple[int, str, int] = (0, "", 0)) -> None:
        heapq.heappush(events, (now + seconds, next(tokens), what, group))

    while step < 30:
        while flying < 5:
            token = f"a/{next(tokens)}"
            group_id = broker.claim(token, held_version=held, max_lag=MAX_LAG)
            if group_id is None:
                break
            flying += 1
            later(rng.lognormvariate(0, 0.5) * (1.0 if group_id % 2 else 0.7), "written", (group_id, token, held))
        if not busy and take(broker, step + 1) is not None:
            busy = True
            later(0.3, "trained")
        now, _, what, (group_id, token, version) = heapq.heappop(events)
        if what == "written":
            flying -= 1
            assert broker.feed.publish(group_id, token, rollout_group(group_id, version=version))
            entry_id, group = broker.read_one()
            broker.ring.put(entry_id, train_group(group), step=step)
        elif what == "trained":
            step, busy = step + 1, False
            broker.ring.commit(step)
            later(0.1, "synced")
        else:
            held = step
    balance = broker.balance()
    assert (balance.trained, balance.stale) == (60, 0)
