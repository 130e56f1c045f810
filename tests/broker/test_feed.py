import time

import pytest
import redis

from broker.errors import FeedExhausted
from broker.keys import Keys
from tests.broker.house import House
from tests.groups import rollout_group, train_group


@pytest.fixture
def house(client: redis.Redis, keys: Keys) -> House:
    return House(client, keys)


def test_group_ids_ascend_from_zero_and_each_is_issued_once(house: House) -> None:
    assert [house.claim(f"a/{n}") for n in range(3)] == [0, 1, 2]
    assert house.balance().issued == 3


def test_a_repeated_claim_gets_the_same_group_id(house: House) -> None:
    assert house.claim("a/0") == 0
    assert house.claim("a/0") == 0
    assert house.claim("a/1") == 1
    assert house.balance().issued == 2


def test_a_published_token_claims_something_new(house: House) -> None:
    assert house.publish_one("a/0") == 0
    assert house.claim("a/0") == 1


def test_nothing_is_claimed_above_the_high_water_mark(house: House) -> None:
    house.publish_one("a/0")
    house.publish_one("a/1")
    assert house.claim("a/2", high_water=2) is None
    assert house.claim("a/2", high_water=3) == 2


def test_an_expired_lease_is_issued_again_and_the_old_holder_is_fenced_off(house: House) -> None:
    assert house.claim("dead/0", lease_s=0.01) == 0
    time.sleep(0.02)
    assert house.feed.reclaim(max_attempts=3) == 1
    assert house.claim("alive/0") == 0
    assert not house.feed.publish(0, "dead/0", rollout_group(0))
    assert not house.feed.fail(0, "dead/0", "engine")
    assert house.feed.renew([0], "dead", lease_s=60) == []
    assert house.feed.publish(0, "alive/0", rollout_group(0))
    assert house.balance().in_flight["stream"] == 1


def test_a_lease_past_its_deadline_stands_until_somebody_takes_it(house: House) -> None:
    house.claim("a/0", lease_s=0.001)
    time.sleep(0.01)
    assert house.feed.renew([0], "a", lease_s=60) == [0]
    assert house.feed.reclaim(max_attempts=3) == 0
    assert house.feed.publish(0, "a/0", rollout_group(0))


def test_renew_names_only_what_the_owner_still_holds(house: House) -> None:
    house.claim("a/0")
    house.claim("ab/0")
    assert house.feed.renew([0, 1, 99], "a", lease_s=60) == [0]


def test_a_group_leased_too_often_is_counted_as_failed(house: House) -> None:
    for attempt in range(2):
        assert house.claim(f"a/{attempt}", lease_s=0.001) == 0
        time.sleep(0.01)
        house.feed.reclaim(max_attempts=2)
    assert house.claim("a/9") == 1
    assert house.balance().failed == {"attempts": 1}


def test_a_dead_actors_leases_are_issued_again_in_order(house: House) -> None:
    for n in range(3):
        house.claim(f"dead/{n}")
    assert house.claim("alive/0") == 3
    assert house.feed.release("dead") == 3
    assert house.feed.release("dead") == 0
    assert [house.claim(f"alive/{n}") for n in (1, 2, 3, 4)] == [0, 1, 2, 4]


def test_a_clean_stop_does_not_count_as_an_attempt_and_a_death_does(house: House) -> None:
    for n in range(5):
        assert house.claim(f"stops-{n}/0") == 0
        house.feed.release(f"stops-{n}")
    assert house.claim("dies/0") == 0
    assert house.feed.release("dies", max_attempts=1) == 1
    assert house.balance().failed == {"attempts": 1}


def test_a_repeated_publish_is_one_entry_and_says_yes_again(house: House) -> None:
    house.claim("a/0")
    assert house.feed.publish(0, "a/0", rollout_group(0))
    assert house.feed.publish(0, "a/0", rollout_group(0))
    assert house.stream.depth() == 1
    assert house.balance().totals == {"published": 1, "rollouts": 2, "prompt_tokens": 6, "completion_tokens": 6}


def test_a_repeated_failure_is_counted_once(house: House) -> None:
    house.claim("a/0")
    assert house.feed.fail(0, "a/0", "engine")
    assert house.feed.fail(0, "a/0", "engine")
    assert house.balance().failed == {"engine": 1}


def test_a_reason_that_is_no_name_is_refused(house: House) -> None:
    with pytest.raises(ValueError, match="reason"):
        house.feed.fail(0, "a/0", "engine died: 1.2")


def test_the_feed_ends_only_when_no_lease_can_come_back(house: House) -> None:
    house.feed.open(2)
    house.publish_one("a/0")
    assert house.claim("b/0", lease_s=0.001) == 1
    assert house.claim("a/1") is None
    time.sleep(0.01)
    house.feed.reclaim(max_attempts=3)
    assert house.claim("a/1") == 1
    assert not house.balance().drained
    house.feed.publish(1, "a/1", rollout_group(1))
    with pytest.raises(FeedExhausted):
        house.claim("a/2")
    for _ in range(2):
        entry_id, group = house.read_one()
        house.ring.put(entry_id, train_group(group), step=0)
    assert house.balance().drained


def test_opening_a_feed_again_changes_only_its_limit(house: House) -> None:
    house.claim("a/0")
    house.feed.open(1)
    assert house.claim("a/0") == 0
    house.feed.open(None)
    assert house.claim("a/1") == 1


def test_synchronous_training_issues_exactly_one_batch_a_version(house: House) -> None:
    # max_lag 0, 2 groups a batch: version v admits 2 * (v + 1) groups that were not dropped.
    assert [house.claim(f"a/{n}", held_version=0, max_lag=0) for n in range(3)] == [0, 1, None]
    assert [house.claim(f"a/{n}", held_version=1, max_lag=0) for n in range(2, 5)] == [2, 3, None]


def test_a_larger_lag_admits_that_many_batches_ahead(house: House) -> None:
    claims = [house.claim(f"a/{n}", held_version=0, max_lag=3) for n in range(9)]
    assert claims == [*range(8), None]


def test_filtered_groups_are_credited_back_so_that_the_learner_never_starves(house: House) -> None:
    """PipelineRL's deadlock: every group of a synchronous step is filtered, and nobody may claim another."""
    for attempt in range(5):
        tokens = [f"a/{attempt}-{n}" for n in range(2)]
        group_ids = [house.claim(token, max_lag=0) for token in tokens]
        assert None not in group_ids, f"stalled in round {attempt}"
        assert house.claim("a/too-many", max_lag=0) is None
        for token, group_id in zip(tokens, group_ids, strict=True):
            house.feed.publish(group_id, token, rollout_group(group_id, (0.0, 0.0)))
            entry_id, group = house.read_one()
            house.ring.drop(entry_id, group, "zero_advantage", step=0)
    assert house.balance().filtered == {"zero_advantage": 10}


def test_every_kind_of_dropped_group_is_credited_back(house: House) -> None:
    house.ring._capacity = 4  # two groups
    assert house.claim("a/0", max_lag=0) == 0
    assert house.claim("a/1", max_lag=0) == 1
    house.feed.fail(0, "a/0", "engine")
    assert house.claim("a/2", max_lag=0) == 2
    assert house.claim("a/3", max_lag=0) is None
    for group_id in (1, 2):
        house.feed.publish(group_id, f"a/{group_id}", rollout_group(group_id))
    (first, second) = house.read(count=2)
    house.stream.dead_letter(first.entry_id, "test")
    house.ring.put(second.entry_id, train_group(rollout_group(2)), step=0)
    assert house.claim("a/3", max_lag=0) == 3
    assert house.claim("a/4", max_lag=0) is None


def test_a_returned_group_id_needs_no_new_admission(house: House) -> None:
    house.claim("a/0", max_lag=0)
    house.claim("dead/0", max_lag=0)
    house.feed.release("dead")
    assert house.claim("a/1", max_lag=0) == 1
    assert house.claim("a/2", max_lag=0) is None


@pytest.mark.parametrize("jump_ms", [-3_600_000, 3_600_000])
def test_a_clock_that_jumps_an_hour_takes_no_lease_away(house: House, jump_ms: int) -> None:
    """To the server its own jump looks as if everything it noted had been noted an hour earlier or later."""
    house.claim("a/0", lease_s=60)
    house.feed.reclaim(max_attempts=3)
    house.client.zadd(house.keys.leases, {"0": deadline_of(house) - jump_ms})
    looked = int(house.client.hget(house.keys.feed, "looked_ms") or 0)
    house.client.hset(house.keys.feed, "looked_ms", looked - jump_ms)
    assert house.feed.reclaim(max_attempts=3) == 0
    assert 50_000 < deadline_of(house) - time.time() * 1000 < 70_000, "and it still ends after a minute"


def test_time_in_which_nobody_looked_ages_a_lease_by_five_seconds(house: House) -> None:
    house.claim("a/0", lease_s=60)
    house.feed.reclaim(max_attempts=3)
    deadline = deadline_of(house)
    house.client.hincrby(house.keys.feed, "looked_ms", -20_000)
    house.feed.reclaim(max_attempts=3)
    assert 14_900 < deadline_of(house) - deadline < 18_000


def deadline_of(house: House) -> float:
    """Of the lease of group 0, server milliseconds."""
    deadline = house.client.zscore(house.keys.leases, "0")
    assert isinstance(deadline, float)
    return deadline
