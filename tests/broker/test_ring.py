import pytest
import redis

from broker.errors import BrokerError, RingFull, ServerBehind
from broker.keys import Keys
from broker.records import encode
from tests.broker.broker_parts import BrokerParts
from tests.groups import rollout_group, train_group


@pytest.fixture
def broker(client: redis.Redis, keys: Keys) -> BrokerParts:
    """Eight slots: four groups of two samples."""
    return BrokerParts(client, keys)


def test_a_put_moves_the_group_from_the_stream_into_the_ring(broker: BrokerParts) -> None:
    broker.put_one("a/0")
    assert broker.ring.occupancy() == 2
    assert broker.stream.depth() == 0
    assert broker.balance().in_flight == {"leased": 0, "reissue": 0, "stream": 0, "ring": 1, "taken": 0}


def test_a_repeated_put_stores_and_counts_once(broker: BrokerParts) -> None:
    broker.publish_one("a/0")
    entry_id, group = broker.read_one()
    assert broker.ring.put(entry_id, train_group(group), step=0)
    assert not broker.ring.put(entry_id, train_group(group), step=0)
    assert broker.ring.occupancy() == 2
    assert broker.ledger.rows()[0].attempts == 2


def test_a_put_after_a_drop_does_nothing_and_the_other_way_round(broker: BrokerParts) -> None:
    broker.publish_one("a/0")
    entry_id, group = broker.read_one()
    assert broker.ring.drop(entry_id, group, "zero_advantage", step=0)
    assert not broker.ring.drop(entry_id, group, "zero_advantage", step=0)
    assert not broker.ring.put(entry_id, train_group(group), step=0)
    broker.publish_one("a/1")
    entry_id, group = broker.read_one()
    assert broker.ring.put(entry_id, train_group(group), step=0)
    assert not broker.ring.drop(entry_id, group, "zero_advantage", step=0)
    balance = broker.balance()
    assert (balance.filtered, balance.in_flight["ring"]) == ({"zero_advantage": 1}, 1)


def test_a_full_ring_replaces_whole_oldest_groups(broker: BrokerParts) -> None:
    for n in range(4):
        broker.put_one(f"a/{n}")
    broker.publish_one("a/4", rewards=(1.0, 0.0, 0.0))  # three samples replace two groups of two
    entry_id, group = broker.read_one()
    broker.ring.put(entry_id, train_group(group), step=0)
    assert broker.ring.occupancy() == 7
    assert broker.balance().replaced == 2
    replaced = [(f[b"ordinal"], f[b"newcomer"]) for _, f in broker.client.xrange(broker.keys.replaced)]
    assert replaced == [(b"0", b"4"), (b"1", b"4")]
    assert sorted(broker.client.hkeys(broker.keys.payload)) == [b"2", b"3", b"4"]
    assert broker.ring.take(1, 4, max_lag=None) == [2, 3]


def test_a_full_ring_that_waits_leaves_the_group_on_the_stream(client: redis.Redis, keys: Keys) -> None:
    broker = BrokerParts(client, keys, capacity=4, when_full="wait")
    broker.put_one("a/0")
    broker.put_one("a/1")
    broker.publish_one("a/2")
    entry_id, group = broker.read_one()
    for _ in range(2):
        with pytest.raises(RingFull):
            broker.ring.put(entry_id, train_group(group), step=0)
    assert broker.balance().in_flight["stream"] == 1
    broker.ring.take(1, 4, max_lag=None)
    assert broker.ring.put(entry_id, train_group(group), step=0)
    assert not broker.ring.put(entry_id, train_group(group), step=0)
    assert broker.balance().replaced == 0


def test_an_ended_group_is_done_even_when_the_ring_is_full(client: redis.Redis, keys: Keys) -> None:
    broker = BrokerParts(client, keys, capacity=2, when_full="wait")
    broker.publish_one("a/0")
    entry_id, group = broker.read_one()
    assert broker.ring.put(entry_id, train_group(group), step=0)
    assert not broker.ring.put(entry_id, train_group(group), step=0)


def test_a_group_larger_than_the_ring_is_an_error_and_moves_nothing(client: redis.Redis, keys: Keys) -> None:
    broker = BrokerParts(client, keys, capacity=1)
    broker.publish_one("a/0")
    entry_id, group = broker.read_one()
    with pytest.raises(BrokerError, match="does not fit"):
        broker.ring.put(entry_id, train_group(group), step=0)
    assert broker.balance().in_flight["stream"] == 1


def test_take_waits_for_a_whole_batch_and_never_splits_a_group(broker: BrokerParts) -> None:
    broker.put_one("a/0")
    assert broker.ring.take(1, 4, max_lag=None) is None
    assert broker.ring.take(1, 3, max_lag=None) is None
    broker.put_one("a/1")
    assert broker.ring.take(1, 3, max_lag=None) is None
    assert broker.ring.take(1, 4, max_lag=None) == [0, 1]


def test_take_skips_a_group_that_does_not_fit(broker: BrokerParts) -> None:
    broker.put_one("a/0")
    broker.publish_one("a/1", rewards=(1.0, 0.0, 0.0))
    entry_id, group = broker.read_one()
    broker.ring.put(entry_id, train_group(group), step=0)
    broker.put_one("a/2")
    assert broker.ring.take(1, 4, max_lag=None) == [0, 2]


def test_a_second_take_of_a_step_gets_the_same_batch(broker: BrokerParts) -> None:
    for n in range(4):
        broker.put_one(f"a/{n}")
    assert broker.ring.take(1, 4, max_lag=None) == [0, 1]
    assert broker.ring.take(1, 4, max_lag=None) == [0, 1]
    broker.ring.commit(1)
    assert broker.ring.take(1, 4, max_lag=None) == [0, 1]
    assert broker.ring.take(2, 4, max_lag=None) == [2, 3]


def test_a_step_out_of_order_is_an_error(broker: BrokerParts) -> None:
    broker.put_one("a/0")
    with pytest.raises(BrokerError, match="newest step taken is 0"):
        broker.ring.take(2, 2, max_lag=None)
    broker.ring.take(1, 2, max_lag=None)
    with pytest.raises(BrokerError, match="newest committed is 0"):
        broker.ring.commit(2)


def test_every_rank_reads_the_same_batch_in_the_same_order(broker: BrokerParts) -> None:
    for n in range(2):
        broker.put_one(f"a/{n}")
    assert broker.ring.batch(1) is None
    broker.ring.take(1, 4, max_lag=None)
    first, second = broker.ring.batch(1), broker.ring.batch(1)
    assert first == second
    assert first is not None
    assert [g.rollout_group.group_id for g in first] == [0, 1]
    assert first[0] == train_group(rollout_group(0))


def test_groups_above_the_lag_are_dropped_and_counted(broker: BrokerParts) -> None:
    # Step 4 updates version 3; with max_lag 2 the oldest token may be of version 1.
    for step in range(1, 4):
        broker.put_one(f"a/{step}", version=step)
        assert broker.ring.take(step, 2, max_lag=None) is not None
        broker.ring.commit(step)
    for n, version in enumerate((0, 1, 2)):
        broker.put_one(f"b/{n}", version=version)
    assert broker.ring.take(4, 4, max_lag=2) == [4, 5]
    balance = broker.balance()
    assert (balance.stale, balance.in_flight["taken"]) == (1, 2)
    assert broker.client.hexists(broker.keys.payload, "3") is False


def test_stale_groups_are_dropped_even_when_the_batch_is_too_small(broker: BrokerParts) -> None:
    broker.ring.adopt(5)
    broker.put_one("a/0", version=0)
    assert broker.ring.take(6, 2, max_lag=4) is None
    assert broker.balance().stale == 1


def test_max_lag_zero_trains_only_rollouts_of_the_current_version(broker: BrokerParts) -> None:
    broker.put_one("a/0", version=0)
    assert broker.ring.take(1, 2, max_lag=0) == [0]
    broker.ring.commit(1)
    broker.put_one("a/1", version=0)
    broker.put_one("a/2", version=1)
    assert broker.ring.take(2, 2, max_lag=0) == [2]
    assert broker.balance().stale == 1


def test_a_commit_counts_once(broker: BrokerParts) -> None:
    broker.put_one("a/0")
    broker.ring.take(1, 2, max_lag=None)
    assert broker.balance().in_flight["taken"] == 1
    assert broker.ring.commit(1)
    assert not broker.ring.commit(1)
    balance = broker.balance()
    assert (balance.trained, balance.trained_samples, broker.ring.committed()) == (1, 2, 1)


def test_trim_removes_the_batches_that_a_checkpoint_covers(broker: BrokerParts) -> None:
    for step in (1, 2):
        broker.put_one(f"a/{step}")
        broker.ring.take(step, 2, max_lag=None)
        broker.ring.commit(step)
    broker.put_one("a/3")
    broker.ring.trim(1)
    broker.ring.trim(1)
    assert broker.ring.batch(1) is None
    assert broker.ring.batch(2) is not None
    assert sorted(broker.client.hkeys(broker.keys.payload)) == [b"1", b"2"]
    with pytest.raises(BrokerError, match="no longer kept"):
        broker.ring.take(1, 2, max_lag=None)
    with pytest.raises(BrokerError, match="not committed"):
        broker.ring.trim(3)


def test_a_server_behind_the_learner_is_moved_forward(broker: BrokerParts) -> None:
    broker.put_one("a/0")
    broker.ring.take(1, 2, max_lag=None)  # trained and checkpointed; the server lost the commit and steps 2 and 3
    assert broker.ring.adopt(3) == 3
    assert broker.ring.adopt(2) == 3
    balance = broker.balance()
    assert (balance.trained, balance.committed, balance.taken) == (1, 3, 3)
    broker.put_one("a/1", version=3)
    assert broker.ring.take(4, 2, max_lag=0) == [1]


def test_steps_trained_elsewhere_do_not_admit_extra_groups(broker: BrokerParts) -> None:
    broker.ring.adopt(50)  # a resume on an empty server
    claims = [broker.claim(f"a/{n}", held_version=50, max_lag=0) for n in range(3)]
    assert claims == [0, 1, None]


def test_the_ledger_records_attempts_successes_and_the_first_solve(broker: BrokerParts) -> None:
    rewards_of = {"a/0": (0.0, 0.0), "a/1": (1.0, None), "a/2": (1.0, 1.0)}
    for step, (token, rewards) in enumerate(rewards_of.items(), start=3):
        group_id = broker.claim(token)
        assert group_id is not None
        group = rollout_group(group_id, rewards, problem_id="x|y", arm="guided")
        broker.feed.publish(group_id, token, group)
        (delivery,) = broker.read()
        if step == 3:
            broker.ring.drop(delivery.entry_id, group, "zero_advantage", step=step)
        else:
            broker.ring.put(delivery.entry_id, train_group(group), step=step)
    (row,) = broker.ledger.rows()
    assert (row.problem_id, row.arm) == ("x|y", "guided")
    assert (row.attempts, row.successes, row.first_solve_step) == (5, 3, 4)


def test_a_problem_never_solved_has_no_first_solve(broker: BrokerParts) -> None:
    broker.publish_one("a/0", rewards=(0.0, 0.0))
    entry_id, group = broker.read_one()
    broker.ring.drop(entry_id, group, "zero_advantage", step=9)
    assert broker.ledger.rows()[0].first_solve_step is None


def test_a_second_copy_of_a_group_is_counted_and_not_kept(broker: BrokerParts) -> None:
    """Copies of groups in the ring, in a batch, trained, and dropped."""
    kept, dropped = broker.publish_one("a/0"), broker.publish_one("a/1", rewards=(0.0, 0.0))
    copies = [fields for _, fields in broker.client.xrange(broker.keys.rollouts)]
    first, second = broker.read_one(), broker.read_one()
    assert broker.ring.put(first[0], train_group(first[1]), step=0)
    assert broker.ring.drop(second[0], second[1], "zero_advantage", step=0)

    def again() -> None:
        for fields in copies:
            broker.client.xadd(broker.keys.rollouts, fields)
            entry_id, group = broker.read_one()
            assert not broker.ring.put(entry_id, train_group(group), step=0)
            broker.client.xadd(broker.keys.rollouts, fields)
            entry_id, group = broker.read_one()
            assert not broker.ring.drop(entry_id, group, "zero_advantage", step=0)

    again()
    assert broker.ring.take(1, 2, max_lag=None) == [kept]
    again()
    broker.ring.commit(1)
    broker.ring.trim(1)
    again()
    balance = broker.balance()
    assert (balance.trained, balance.filtered, sum(balance.in_flight.values())) == (1, {"zero_advantage": 1}, 0)
    assert int(broker.client.hget(broker.keys.counters, "duplicates")) == 3 * 4
    assert dropped == 1


def test_groups_of_a_step_the_server_lost_are_trained_once(broker: BrokerParts) -> None:
    """The server lost its last second: one group is in the ring, one on the stream, one not issued."""
    broker.put_one("a/0")
    broker.publish_one("a/1")
    with pytest.raises(ServerBehind):
        broker.ring.take(2, 4, max_lag=None)
    assert broker.ring.adopt(1, [0, 1, 2]) == 1
    balance = broker.balance()
    assert (balance.trained, balance.trained_samples, balance.in_flight["stream"]) == (1, 2, 1)
    assert broker.ring.groups() == []
    entry_id, group = broker.read_one()
    assert not broker.ring.put(entry_id, train_group(group), step=1)
    broker.publish_one("a/2")
    entry_id, group = broker.read_one()
    assert not broker.ring.put(entry_id, train_group(group), step=1)
    balance = broker.balance()
    assert (balance.trained, balance.trained_samples, sum(balance.in_flight.values())) == (3, 6, 0)
    assert broker.client.scard(broker.keys.forgotten) == 0
    assert broker.put_one("a/3") == 3
    assert broker.ring.take(2, 2, max_lag=None) == [3]


def test_a_group_of_a_lost_step_is_trained_once_even_if_its_new_rollouts_are_filtered(broker: BrokerParts) -> None:
    """The group is issued again, sampled by newer weights, and filtered."""
    assert broker.ring.adopt(1, [0]) == 1
    broker.publish_one("a/0", rewards=(0.0, 0.0))
    assert not broker.ring.drop(*broker.read_one(), "zero_advantage", step=1)
    balance = broker.balance()
    assert (balance.trained, balance.trained_samples, balance.filtered) == (1, 2, {})
    assert broker.client.scard(broker.keys.forgotten) == 0


@pytest.mark.parametrize("group_id", [1, 2**40, 2**53])
def test_a_group_that_was_never_issued_is_counted_and_dropped(broker: BrokerParts, group_id: int) -> None:
    """For any group id: the string `ended` grows only with the issued group ids."""
    broker.publish_one("a/0")
    (waiting,) = broker.read()
    group = rollout_group(group_id)
    for _ in range(2):
        broker.client.xadd(broker.keys.rollouts, {"ordinal": group_id, "group": encode(group)})
    put, dropped = broker.read(count=2)
    assert not broker.ring.put(put.entry_id, train_group(group), step=0)
    assert not broker.ring.drop(dropped.entry_id, group, "zero_advantage", step=0)
    assert int(broker.client.hget(broker.keys.counters, "unissued")) == 2
    assert broker.client.exists(broker.keys.ended) == 0
    assert broker.ring.drop(waiting.entry_id, rollout_group(0), "zero_advantage", step=0)
    assert broker.balance().filtered == {"zero_advantage": 1}


def test_a_commit_of_an_unknown_step_raises_server_behind(broker: BrokerParts) -> None:
    broker.put_one("a/0")
    broker.ring.take(1, 2, max_lag=None)
    with pytest.raises(ServerBehind):
        broker.ring.commit(2)
