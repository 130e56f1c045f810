import time

import pytest
import redis

from broker.errors import FeedExhausted
from broker.keys import Keys
from broker.reports import WAIT_INPUT, WAIT_LAG, WAIT_ROOM
from tests.broker.broker_parts import BrokerParts
from tests.groups import rollout_group, train_group


@pytest.fixture
def broker(client: redis.Redis, keys: Keys) -> BrokerParts:
    return BrokerParts(client, keys)


def test_group_ids_ascend_from_zero_and_each_is_issued_once(broker: BrokerParts) -> None:
    assert [broker.claim(f"a/{n}") for n in range(3)] == [0, 1, 2]
    assert broker.balance().issued == 3


def test_a_repeated_claim_gets_the_same_group_id(broker: BrokerParts) -> None:
    assert broker.claim("a/0") == 0
    assert broker.claim("a/0") == 0
    assert broker.claim("a/1") == 1
    assert broker.balance().issued == 2


def test_a_published_token_claims_something_new(broker: BrokerParts) -> None:
    assert broker.publish_one("a/0") == 0
    assert broker.claim("a/0") == 1


def test_nothing_is_claimed_above_the_high_water_mark(broker: BrokerParts) -> None:
    broker.publish_one("a/0")
    broker.publish_one("a/1")
    assert broker.claim("a/2", high_water=2) is None
    assert broker.claim("a/2", high_water=3) == 2


def test_an_expired_lease_is_issued_again_and_its_old_holder_is_refused(broker: BrokerParts) -> None:
    assert broker.claim("dead/0", lease_s=0.01) == 0
    time.sleep(0.02)
    assert broker.feed.reclaim(max_attempts=3) == 1
    assert broker.claim("alive/0") == 0
    assert not broker.feed.publish(0, "dead/0", rollout_group(0))
    assert not broker.feed.fail(0, "dead/0", "engine")
    assert broker.feed.renew([0], "dead", lease_s=60) == []
    assert broker.feed.publish(0, "alive/0", rollout_group(0))
    assert broker.balance().in_flight["stream"] == 1


def test_a_lease_past_its_deadline_is_valid_until_it_is_reclaimed(broker: BrokerParts) -> None:
    broker.claim("a/0", lease_s=0.001)
    time.sleep(0.01)
    assert broker.feed.renew([0], "a", lease_s=60) == [0]
    assert broker.feed.reclaim(max_attempts=3) == 0
    assert broker.feed.publish(0, "a/0", rollout_group(0))


def test_renew_returns_only_the_leases_the_owner_still_holds(broker: BrokerParts) -> None:
    broker.claim("a/0")
    broker.claim("ab/0")
    assert broker.feed.renew([0, 1, 99], "a", lease_s=60) == [0]


def test_a_group_leased_too_often_is_counted_as_failed(broker: BrokerParts) -> None:
    for attempt in range(2):
        assert broker.claim(f"a/{attempt}", lease_s=0.001) == 0
        time.sleep(0.01)
        broker.feed.reclaim(max_attempts=2)
    assert broker.claim("a/9") == 1
    assert broker.balance().failed == {"attempts": 1}


def test_a_dead_actors_leases_are_issued_again_in_order(broker: BrokerParts) -> None:
    for n in range(3):
        broker.claim(f"dead/{n}")
    assert broker.claim("alive/0") == 3
    assert broker.feed.release("dead") == 3
    assert broker.feed.release("dead") == 0
    assert [broker.claim(f"alive/{n}") for n in (1, 2, 3, 4)] == [0, 1, 2, 4]


def test_a_clean_stop_does_not_count_as_an_attempt_and_a_death_does(broker: BrokerParts) -> None:
    for n in range(5):
        assert broker.claim(f"stops-{n}/0") == 0
        broker.feed.release(f"stops-{n}")
    assert broker.claim("dies/0") == 0
    assert broker.feed.release("dies", max_attempts=1) == 1
    assert broker.balance().failed == {"attempts": 1}


def test_a_repeated_publish_adds_one_entry_and_returns_true_again(broker: BrokerParts) -> None:
    broker.claim("a/0")
    assert broker.feed.publish(0, "a/0", rollout_group(0))
    assert broker.feed.publish(0, "a/0", rollout_group(0))
    assert broker.stream.depth() == 1
    assert broker.balance().totals == {"published": 1, "rollouts": 2, "prompt_tokens": 6, "completion_tokens": 6}


def test_a_repeated_failure_is_counted_once(broker: BrokerParts) -> None:
    broker.claim("a/0")
    assert broker.feed.fail(0, "a/0", "engine")
    assert broker.feed.fail(0, "a/0", "engine")
    assert broker.balance().failed == {"engine": 1}


def test_an_invalid_reason_is_refused(broker: BrokerParts) -> None:
    with pytest.raises(ValueError, match="reason"):
        broker.feed.fail(0, "a/0", "engine died: 1.2")


def test_the_feed_is_exhausted_only_when_no_lease_is_left(broker: BrokerParts) -> None:
    broker.feed.open(2)
    broker.publish_one("a/0")
    assert broker.claim("b/0", lease_s=0.001) == 1
    assert broker.claim("a/1") is None
    time.sleep(0.01)
    broker.feed.reclaim(max_attempts=3)
    assert broker.claim("a/1") == 1
    assert not broker.balance().drained
    broker.feed.publish(1, "a/1", rollout_group(1))
    with pytest.raises(FeedExhausted):
        broker.claim("a/2")
    for _ in range(2):
        entry_id, group = broker.read_one()
        broker.ring.put(entry_id, train_group(group), step=0)
    assert broker.balance().drained


def test_reopening_a_feed_changes_only_its_limit(broker: BrokerParts) -> None:
    broker.claim("a/0")
    broker.feed.open(1)
    assert broker.claim("a/0") == 0
    broker.feed.open(None)
    assert broker.claim("a/1") == 1


def test_synchronous_training_issues_exactly_one_batch_a_version(broker: BrokerParts) -> None:
    # max_lag 0, 2 groups a batch: version v admits 2 * (v + 1) groups that were not dropped.
    assert [broker.claim(f"a/{n}", held_version=0, max_lag=0) for n in range(3)] == [0, 1, None]
    assert [broker.claim(f"a/{n}", held_version=1, max_lag=0) for n in range(2, 5)] == [2, 3, None]


def test_a_larger_lag_admits_that_many_batches_ahead(broker: BrokerParts) -> None:
    claims = [broker.claim(f"a/{n}", held_version=0, max_lag=3) for n in range(9)]
    assert claims == [*range(8), None]


def test_filtered_groups_are_credited_back_so_that_the_learner_never_starves(broker: BrokerParts) -> None:
    """The deadlock of PipelineRL: all groups of a synchronous step are filtered, and no other may be claimed."""
    for attempt in range(5):
        tokens = [f"a/{attempt}-{n}" for n in range(2)]
        group_ids = [broker.claim(token, max_lag=0) for token in tokens]
        assert None not in group_ids, f"stalled in round {attempt}"
        assert broker.claim("a/too-many", max_lag=0) is None
        for token, group_id in zip(tokens, group_ids, strict=True):
            broker.feed.publish(group_id, token, rollout_group(group_id, (0.0, 0.0)))
            entry_id, group = broker.read_one()
            broker.ring.drop(entry_id, group, "zero_advantage", step=0)
    assert broker.balance().filtered == {"zero_advantage": 10}


def test_every_kind_of_dropped_group_is_credited_back(broker: BrokerParts) -> None:
    broker.ring._capacity = 4  # two groups
    assert broker.claim("a/0", max_lag=0) == 0
    assert broker.claim("a/1", max_lag=0) == 1
    broker.feed.fail(0, "a/0", "engine")
    assert broker.claim("a/2", max_lag=0) == 2
    assert broker.claim("a/3", max_lag=0) is None
    for group_id in (1, 2):
        broker.feed.publish(group_id, f"a/{group_id}", rollout_group(group_id))
    (first, second) = broker.read(count=2)
    broker.stream.dead_letter(first.entry_id, "test")
    broker.ring.put(second.entry_id, train_group(rollout_group(2)), step=0)
    assert broker.claim("a/3", max_lag=0) == 3
    assert broker.claim("a/4", max_lag=0) is None


def test_a_returned_group_id_needs_no_new_admission(broker: BrokerParts) -> None:
    broker.claim("a/0", max_lag=0)
    broker.claim("dead/0", max_lag=0)
    broker.feed.release("dead")
    assert broker.claim("a/1", max_lag=0) == 1
    assert broker.claim("a/2", max_lag=0) is None


@pytest.mark.parametrize("jump_ms", [-3_600_000, 3_600_000])
def test_a_clock_jump_of_an_hour_ends_no_lease(broker: BrokerParts, jump_ms: int) -> None:
    """A clock jump is equivalent to shifting all stored times by an hour."""
    broker.claim("a/0", lease_s=60)
    broker.feed.reclaim(max_attempts=3)
    broker.client.zadd(broker.keys.leases, {"0": deadline_of(broker) - jump_ms})
    looked = int(broker.client.hget(broker.keys.feed, "looked_ms") or 0)
    broker.client.hset(broker.keys.feed, "looked_ms", looked - jump_ms)
    assert broker.feed.reclaim(max_attempts=3) == 0
    assert 50_000 < deadline_of(broker) - time.time() * 1000 < 70_000, "and it still ends after a minute"


def test_time_without_a_reclaim_ages_a_lease_by_five_seconds(broker: BrokerParts) -> None:
    broker.claim("a/0", lease_s=60)
    broker.feed.reclaim(max_attempts=3)
    deadline = deadline_of(broker)
    broker.client.hincrby(broker.keys.feed, "looked_ms", -20_000)
    broker.feed.reclaim(max_attempts=3)
    assert 14_900 < deadline_of(broker) - deadline < 18_000


def test_a_refused_claim_says_what_the_actor_waits_for(broker: BrokerParts) -> None:
    reasons: list[str] = []

    def claim(token: str, *, max_lag: int | None = None, high_water: int = 99) -> int | None:
        return broker.feed.claim(
            token, held_version=0, batch_groups=1, max_lag=max_lag, lease_s=60, high_water=high_water,
            refused=reasons.append,
        )  # fmt: skip

    assert claim("a/0", max_lag=0) == 0
    assert claim("a/1", max_lag=0) is None
    assert claim("a/1", high_water=0) is None
    broker.feed.open(1)
    assert claim("a/1") is None, "group 0 is leased and may be issued again"
    assert broker.feed.fail(0, "a/0", "prompt_too_long")
    with pytest.raises(FeedExhausted):
        claim("a/1")
    assert reasons == [WAIT_LAG, WAIT_ROOM, WAIT_INPUT, WAIT_INPUT]


def deadline_of(broker: BrokerParts) -> float:
    """Deadline of the lease of group 0, in server milliseconds."""
    deadline = broker.client.zscore(broker.keys.leases, "0")
    assert isinstance(deadline, float)
    return deadline
