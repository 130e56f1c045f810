import pytest
import redis

from broker.errors import BrokerError, RingFull, ServerBehind
from broker.keys import Keys
from broker.records import encode
from tests.broker.house import House
from tests.groups import rollout_group, train_group


@pytest.fixture
def house(client: redis.Redis, keys: Keys) -> House:
    """Eight slots: four groups of two samples."""
    return House(client, keys)


def test_a_put_moves_the_group_from_the_stream_into_the_ring(house: House) -> None:
    house.put_one("a/0")
    assert house.ring.occupancy() == 2
    assert house.stream.depth() == 0
    assert house.balance().in_flight == {"leased": 0, "reissue": 0, "stream": 0, "ring": 1, "taken": 0}


def test_a_repeated_put_stores_and_counts_once(house: House) -> None:
    house.publish_one("a/0")
    entry_id, group = house.read_one()
    assert house.ring.put(entry_id, train_group(group), step=0)
    assert not house.ring.put(entry_id, train_group(group), step=0)
    assert house.ring.occupancy() == 2
    assert house.ledger.rows()[0].attempts == 2


def test_a_put_after_a_drop_does_nothing_and_the_other_way_round(house: House) -> None:
    house.publish_one("a/0")
    entry_id, group = house.read_one()
    assert house.ring.drop(entry_id, group, "zero_advantage", step=0)
    assert not house.ring.drop(entry_id, group, "zero_advantage", step=0)
    assert not house.ring.put(entry_id, train_group(group), step=0)
    house.publish_one("a/1")
    entry_id, group = house.read_one()
    assert house.ring.put(entry_id, train_group(group), step=0)
    assert not house.ring.drop(entry_id, group, "zero_advantage", step=0)
    balance = house.balance()
    assert (balance.filtered, balance.in_flight["ring"]) == ({"zero_advantage": 1}, 1)


def test_a_full_ring_replaces_whole_oldest_groups(house: House) -> None:
    for n in range(4):
        house.put_one(f"a/{n}")
    house.publish_one("a/4", rewards=(1.0, 0.0, 0.0))  # three samples push out two groups of two
    entry_id, group = house.read_one()
    house.ring.put(entry_id, train_group(group), step=0)
    assert house.ring.occupancy() == 7
    assert house.balance().replaced == 2
    replaced = [(f[b"ordinal"], f[b"newcomer"]) for _, f in house.client.xrange(house.keys.replaced)]
    assert replaced == [(b"0", b"4"), (b"1", b"4")]
    assert sorted(house.client.hkeys(house.keys.payload)) == [b"2", b"3", b"4"]
    assert house.ring.take(1, 4, max_lag=None) == [2, 3]


def test_a_full_ring_that_waits_leaves_the_group_on_the_stream(client: redis.Redis, keys: Keys) -> None:
    house = House(client, keys, capacity=4, when_full="wait")
    house.put_one("a/0")
    house.put_one("a/1")
    house.publish_one("a/2")
    entry_id, group = house.read_one()
    for _ in range(2):
        with pytest.raises(RingFull):
            house.ring.put(entry_id, train_group(group), step=0)
    assert house.balance().in_flight["stream"] == 1
    house.ring.take(1, 4, max_lag=None)
    assert house.ring.put(entry_id, train_group(group), step=0)
    assert not house.ring.put(entry_id, train_group(group), step=0)
    assert house.balance().replaced == 0


def test_an_ended_group_is_done_even_when_the_ring_is_full(client: redis.Redis, keys: Keys) -> None:
    house = House(client, keys, capacity=2, when_full="wait")
    house.publish_one("a/0")
    entry_id, group = house.read_one()
    assert house.ring.put(entry_id, train_group(group), step=0)
    assert not house.ring.put(entry_id, train_group(group), step=0)


def test_a_group_larger_than_the_ring_is_an_error_and_moves_nothing(client: redis.Redis, keys: Keys) -> None:
    house = House(client, keys, capacity=1)
    house.publish_one("a/0")
    entry_id, group = house.read_one()
    with pytest.raises(BrokerError, match="does not fit"):
        house.ring.put(entry_id, train_group(group), step=0)
    assert house.balance().in_flight["stream"] == 1


def test_take_waits_for_a_whole_batch_and_never_splits_a_group(house: House) -> None:
    house.put_one("a/0")
    assert house.ring.take(1, 4, max_lag=None) is None
    assert house.ring.take(1, 3, max_lag=None) is None
    house.put_one("a/1")
    assert house.ring.take(1, 3, max_lag=None) is None
    assert house.ring.take(1, 4, max_lag=None) == [0, 1]


def test_take_skips_a_group_that_does_not_fit(house: House) -> None:
    house.put_one("a/0")
    house.publish_one("a/1", rewards=(1.0, 0.0, 0.0))
    entry_id, group = house.read_one()
    house.ring.put(entry_id, train_group(group), step=0)
    house.put_one("a/2")
    assert house.ring.take(1, 4, max_lag=None) == [0, 2]


def test_a_second_take_of_a_step_gets_the_same_batch(house: House) -> None:
    for n in range(4):
        house.put_one(f"a/{n}")
    assert house.ring.take(1, 4, max_lag=None) == [0, 1]
    assert house.ring.take(1, 4, max_lag=None) == [0, 1]
    house.ring.commit(1)
    assert house.ring.take(1, 4, max_lag=None) == [0, 1]
    assert house.ring.take(2, 4, max_lag=None) == [2, 3]


def test_a_step_out_of_order_is_an_error(house: House) -> None:
    house.put_one("a/0")
    with pytest.raises(BrokerError, match="newest step taken is 0"):
        house.ring.take(2, 2, max_lag=None)
    house.ring.take(1, 2, max_lag=None)
    with pytest.raises(BrokerError, match="newest committed is 0"):
        house.ring.commit(2)


def test_every_rank_reads_the_same_batch_in_the_same_order(house: House) -> None:
    for n in range(2):
        house.put_one(f"a/{n}")
    assert house.ring.batch(1) is None
    house.ring.take(1, 4, max_lag=None)
    first, second = house.ring.batch(1), house.ring.batch(1)
    assert first == second
    assert first is not None
    assert [g.rollout_group.group_id for g in first] == [0, 1]
    assert first[0] == train_group(rollout_group(0))


def test_groups_above_the_lag_are_dropped_and_counted(house: House) -> None:
    # Step 4 updates version 3; with max_lag 2 the oldest token may be of version 1.
    for step in range(1, 4):
        house.put_one(f"a/{step}", version=step)
        assert house.ring.take(step, 2, max_lag=None) is not None
        house.ring.commit(step)
    for n, version in enumerate((0, 1, 2)):
        house.put_one(f"b/{n}", version=version)
    assert house.ring.take(4, 4, max_lag=2) == [4, 5]
    balance = house.balance()
    assert (balance.stale, balance.in_flight["taken"]) == (1, 2)
    assert house.client.hexists(house.keys.payload, "3") is False


def test_stale_groups_leave_even_when_the_batch_is_too_small(house: House) -> None:
    house.ring.adopt(5)
    house.put_one("a/0", version=0)
    assert house.ring.take(6, 2, max_lag=4) is None
    assert house.balance().stale == 1


def test_max_lag_zero_trains_only_what_the_current_version_wrote(house: House) -> None:
    house.put_one("a/0", version=0)
    assert house.ring.take(1, 2, max_lag=0) == [0]
    house.ring.commit(1)
    house.put_one("a/1", version=0)
    house.put_one("a/2", version=1)
    assert house.ring.take(2, 2, max_lag=0) == [2]
    assert house.balance().stale == 1


def test_a_commit_counts_once(house: House) -> None:
    house.put_one("a/0")
    house.ring.take(1, 2, max_lag=None)
    assert house.balance().in_flight["taken"] == 1
    assert house.ring.commit(1)
    assert not house.ring.commit(1)
    balance = house.balance()
    assert (balance.trained, balance.trained_samples, house.ring.committed()) == (1, 2, 1)


def test_trim_forgets_batches_a_checkpoint_covers_and_no_others(house: House) -> None:
    for step in (1, 2):
        house.put_one(f"a/{step}")
        house.ring.take(step, 2, max_lag=None)
        house.ring.commit(step)
    house.put_one("a/3")
    house.ring.trim(1)
    house.ring.trim(1)
    assert house.ring.batch(1) is None
    assert house.ring.batch(2) is not None
    assert sorted(house.client.hkeys(house.keys.payload)) == [b"1", b"2"]
    with pytest.raises(BrokerError, match="no longer kept"):
        house.ring.take(1, 2, max_lag=None)
    with pytest.raises(BrokerError, match="not committed"):
        house.ring.trim(3)


def test_a_server_behind_the_learner_is_moved_forward(house: House) -> None:
    house.put_one("a/0")
    house.ring.take(1, 2, max_lag=None)  # trained, checkpointed; the server lost the commit and steps 2 and 3
    assert house.ring.adopt(3) == 3
    assert house.ring.adopt(2) == 3
    balance = house.balance()
    assert (balance.trained, balance.committed, balance.taken) == (1, 3, 3)
    house.put_one("a/1", version=3)
    assert house.ring.take(4, 2, max_lag=0) == [1]


def test_steps_trained_elsewhere_do_not_admit_extra_groups(house: House) -> None:
    house.ring.adopt(50)  # a resume on an empty server
    claims = [house.claim(f"a/{n}", held_version=50, max_lag=0) for n in range(3)]
    assert claims == [0, 1, None]


def test_the_ledger_knows_attempts_successes_and_the_first_solve(house: House) -> None:
    rewards_of = {"a/0": (0.0, 0.0), "a/1": (1.0, None), "a/2": (1.0, 1.0)}
    for step, (token, rewards) in enumerate(rewards_of.items(), start=3):
        group_id = house.claim(token)
        assert group_id is not None
        group = rollout_group(group_id, rewards, problem_id="x|y", arm="guided")
        house.feed.publish(group_id, token, group)
        (delivery,) = house.read()
        if step == 3:
            house.ring.drop(delivery.entry_id, group, "zero_advantage", step=step)
        else:
            house.ring.put(delivery.entry_id, train_group(group), step=step)
    (row,) = house.ledger.rows()
    assert (row.problem_id, row.arm) == ("x|y", "guided")
    assert (row.attempts, row.successes, row.first_solve_step) == (5, 3, 4)


def test_a_problem_never_solved_has_no_first_solve(house: House) -> None:
    house.publish_one("a/0", rewards=(0.0, 0.0))
    entry_id, group = house.read_one()
    house.ring.drop(entry_id, group, "zero_advantage", step=9)
    assert house.ledger.rows()[0].first_solve_step is None


def test_a_second_copy_of_a_group_is_counted_and_not_kept(house: House) -> None:
    """Whoever copies stream entries: in the ring, in a batch, trained, and of a group that was dropped."""
    kept, dropped = house.publish_one("a/0"), house.publish_one("a/1", rewards=(0.0, 0.0))
    copies = [fields for _, fields in house.client.xrange(house.keys.rollouts)]
    first, second = house.read_one(), house.read_one()
    assert house.ring.put(first[0], train_group(first[1]), step=0)
    assert house.ring.drop(second[0], second[1], "zero_advantage", step=0)

    def again() -> None:
        for fields in copies:
            house.client.xadd(house.keys.rollouts, fields)
            entry_id, group = house.read_one()
            assert not house.ring.put(entry_id, train_group(group), step=0)
            house.client.xadd(house.keys.rollouts, fields)
            entry_id, group = house.read_one()
            assert not house.ring.drop(entry_id, group, "zero_advantage", step=0)

    again()
    assert house.ring.take(1, 2, max_lag=None) == [kept]
    again()
    house.ring.commit(1)
    house.ring.trim(1)
    again()
    balance = house.balance()
    assert (balance.trained, balance.filtered, sum(balance.in_flight.values())) == (1, {"zero_advantage": 1}, 0)
    assert int(house.client.hget(house.keys.counters, "duplicates")) == 3 * 4
    assert dropped == 1


def test_groups_of_a_step_the_server_lost_are_trained_once(house: House) -> None:
    """It is restarted without its last second: one group is in the ring, one on the stream, one was never issued."""
    house.put_one("a/0")
    house.publish_one("a/1")
    with pytest.raises(ServerBehind):
        house.ring.take(2, 4, max_lag=None)
    assert house.ring.adopt(1, [0, 1, 2]) == 1
    balance = house.balance()
    assert (balance.trained, balance.trained_samples, balance.in_flight["stream"]) == (1, 2, 1)
    assert house.ring.groups() == []
    entry_id, group = house.read_one()
    assert not house.ring.put(entry_id, train_group(group), step=1)
    house.publish_one("a/2")
    entry_id, group = house.read_one()
    assert not house.ring.put(entry_id, train_group(group), step=1)
    balance = house.balance()
    assert (balance.trained, balance.trained_samples, sum(balance.in_flight.values())) == (3, 6, 0)
    assert house.client.scard(house.keys.forgotten) == 0
    assert house.put_one("a/3") == 3
    assert house.ring.take(2, 2, max_lag=None) == [3]


def test_a_group_of_a_lost_step_is_trained_once_even_if_its_new_rollouts_teach_nothing(house: House) -> None:
    """It is issued again, written by newer weights, and filtered."""
    assert house.ring.adopt(1, [0]) == 1
    house.publish_one("a/0", rewards=(0.0, 0.0))
    assert not house.ring.drop(*house.read_one(), "zero_advantage", step=1)
    balance = house.balance()
    assert (balance.trained, balance.trained_samples, balance.filtered) == (1, 2, {})
    assert house.client.scard(house.keys.forgotten) == 0


@pytest.mark.parametrize("group_id", [1, 2**40, 2**53])
def test_a_group_that_nobody_was_issued_is_counted_and_goes_nowhere(house: House, group_id: int) -> None:
    """However large its group id: the string of ends grows with the group ids that were issued."""
    house.publish_one("a/0")
    (waiting,) = house.read()
    group = rollout_group(group_id)
    for _ in range(2):
        house.client.xadd(house.keys.rollouts, {"ordinal": group_id, "group": encode(group)})
    put, dropped = house.read(count=2)
    assert not house.ring.put(put.entry_id, train_group(group), step=0)
    assert not house.ring.drop(dropped.entry_id, group, "zero_advantage", step=0)
    assert int(house.client.hget(house.keys.counters, "unissued")) == 2
    assert house.client.exists(house.keys.ended) == 0
    assert house.ring.drop(waiting.entry_id, rollout_group(0), "zero_advantage", step=0)
    assert house.balance().filtered == {"zero_advantage": 1}


def test_a_commit_the_server_cannot_place_says_that_it_is_behind(house: House) -> None:
    house.put_one("a/0")
    house.ring.take(1, 2, max_lag=None)
    with pytest.raises(ServerBehind):
        house.ring.commit(2)
