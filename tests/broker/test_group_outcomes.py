import msgspec
import pytest
import redis

from broker.group_outcomes import RolloutOutcome, read_group_outcomes, summarize_group
from broker.keys import Keys
from broker.records import RolloutGroup
from tests.broker.broker_parts import BrokerParts
from tests.groups import completion, rollout_group


@pytest.fixture
def broker(client: redis.Redis, keys: Keys) -> BrokerParts:
    """Four slots: two groups of two samples; a batch is one group."""
    return BrokerParts(client, keys, capacity=4, batch_groups=1)


def outcomes_of(broker: BrokerParts) -> dict[int, str]:
    """Group id -> outcome; the records must agree with the counters."""
    outcomes = read_group_outcomes(broker.client, broker.keys)
    assert outcomes.inconsistency() is None
    return dict(enumerate(outcomes.by_group_id))


def test_a_summary_names_bucket_arm_and_every_rollout() -> None:
    group = rollout_group(0, (1.0, None), num_tokens=7)
    cut = msgspec.structs.replace(completion(0.0, num_tokens=12), finish_reason="length")
    group = msgspec.structs.replace(group, rollouts=(*group.rollouts, cut))
    assert summarize_group(group) == "hard guided 7 7v 12t"


@pytest.mark.parametrize(
    ("num_tokens", "rounded"), [(1, 1), (9, 9), (99, 99), (101, 100), (996, 1000), (1251, 1300), (16384, 16000)]
)
def test_a_length_is_rounded_to_two_significant_digits(num_tokens: int, rounded: int) -> None:
    assert summarize_group(rollout_group(0, (1.0,), num_tokens=num_tokens)) == f"hard guided {rounded}"


def test_rounded_lengths_have_few_different_values() -> None:
    """Per decade 90 of them: 1 to 99, then 100 to 990, 1,000 to 9,900 and 10,000 to 16,000."""
    long = rollout_group(0, (1.0,), num_tokens=1)
    rounded = {summarize_group(_as_long_as(long, num_tokens)) for num_tokens in range(1, 16385)}
    assert len(rounded) == 99 + 90 + 90 + 7


def _as_long_as(group: RolloutGroup, num_tokens: int) -> RolloutGroup:
    first = msgspec.structs.replace(group.rollouts[0], token_ids=bytes(4 * num_tokens))
    return msgspec.structs.replace(group, rollouts=(first,))


def test_every_outcome_is_recorded_where_it_is_counted(broker: BrokerParts) -> None:
    broker.put_one("a/0")
    broker.ring.take(1, 2, max_lag=None)
    assert outcomes_of(broker) == {0: "in_flight"}
    broker.ring.commit(1)
    broker.put_one("a/1")
    broker.put_one("a/2")
    broker.put_one("a/3")  # replaces 1
    broker.publish_one("a/4", rewards=(0.0, 0.0))
    broker.ring.drop(*broker.read_one(), "zero_advantage", step=1)
    broker.claim("a/5")
    broker.feed.fail(5, "a/5", "engine")
    broker.claim("a/6", lease_s=0.0)
    broker.feed.release("a", max_attempts=1)
    broker.publish_one("b/7")
    broker.stream.dead_letter(broker.read_one()[0], "torn")
    broker.claim("b/8")
    expected = {0: "trained", 1: "replaced", 2: "in_flight", 3: "in_flight", 4: "filtered.zero_advantage",
                5: "failed.engine", 6: "failed.attempts", 7: "failed.unreadable", 8: "in_flight"}  # fmt: skip
    assert outcomes_of(broker) == expected
    broker.ring.adopt(9)  # the learner is nine steps ahead of the server: the groups in the ring are too old
    broker.ring.take(10, 2, max_lag=0)
    assert outcomes_of(broker) == {**expected, 2: "stale", 3: "stale"}
    broker.balance()


def test_adopted_steps_record_their_groups_as_trained(broker: BrokerParts) -> None:
    broker.put_one("a/0")
    broker.ring.take(1, 2, max_lag=None)
    broker.ring.adopt(1)
    assert outcomes_of(broker) == {0: "trained"}


def test_published_rollouts_are_recorded_before_and_after_their_group_ends(broker: BrokerParts) -> None:
    broker.publish_one("a/0", rewards=(1.0, None))
    broker.claim("a/1")
    outcomes = read_group_outcomes(broker.client, broker.keys)
    assert outcomes.rollouts == {
        RolloutOutcome("hard", "guided", "in_flight", 3): 1,
        RolloutOutcome("hard", "guided", "in_flight", 3, verifier_failed=True): 1,
    }
    assert outcomes.unwritten == (1,)
    broker.ring.drop(*broker.read_one(), "no_reward", step=0)
    outcomes = read_group_outcomes(broker.client, broker.keys)
    assert outcomes.rollouts == {
        RolloutOutcome("hard", "guided", "filtered.no_reward", 3): 1,
        RolloutOutcome("hard", "guided", "filtered.no_reward", 3, verifier_failed=True): 1,
    }
    assert broker.client.hlen(broker.keys.written) == 0


def test_rollouts_are_counted_by_outcome_and_removed_from_written(broker: BrokerParts) -> None:
    broker.put_one("a/0")
    broker.ring.take(1, 2, max_lag=None)
    broker.ring.commit(1)
    for n in (1, 2, 3):
        broker.put_one(f"a/{n}")  # the third replaces the first
    broker.publish_one("a/4")
    broker.stream.dead_letter(broker.read_one()[0], "torn")
    broker.claim("a/5")
    broker.feed.fail(5, "a/5", "engine")
    outcomes = read_group_outcomes(broker.client, broker.keys)
    expected = {"trained": 2, "replaced": 2, "in_flight": 4, "failed.unreadable": 2}
    assert outcomes.rollouts == {RolloutOutcome("hard", "guided", end, 3): count for end, count in expected.items()}
    assert outcomes.unwritten == (5,)
    assert sorted(broker.client.hkeys(broker.keys.written)) == [b"2", b"3"]
    assert broker.client.strlen(broker.keys.ended) == 2, "one byte a group, up to the newest that has ended"


def test_memory_grows_by_one_byte_a_group(broker: BrokerParts) -> None:
    def memory_bytes() -> int:
        return sum(broker.client.memory_usage(key) or 0 for key in (broker.keys.written, broker.keys.rollout_outcomes))

    def go_through(first: int, last: int) -> None:
        for n in range(first, last):
            broker.publish_one(f"a/{n}", rewards=(0.0, 1.0))
            broker.ring.drop(*broker.read_one(), "zero_advantage", step=0)

    go_through(0, 20)
    before = memory_bytes()
    go_through(20, 120)
    assert memory_bytes() == before
    assert broker.client.strlen(broker.keys.ended) == 120


def test_a_repeated_drop_changes_no_record(broker: BrokerParts) -> None:
    broker.publish_one("a/0")
    entry_id, group = broker.read_one()
    assert broker.ring.drop(entry_id, group, "zero_advantage", step=0)
    assert not broker.ring.drop(entry_id, group, "no_reward", step=0)
    assert outcomes_of(broker) == {0: "filtered.zero_advantage"}


def test_a_missing_group_is_reported_as_an_inconsistency(broker: BrokerParts) -> None:
    broker.publish_one("a/0")
    broker.ring.drop(*broker.read_one(), "zero_advantage", step=0)
    broker.client.delete(broker.keys.ended)
    sentence = read_group_outcomes(broker.client, broker.keys).inconsistency()
    assert sentence is not None
    assert sentence.startswith("1 groups are counted as filtered.zero_advantage, but 0 are recorded")


def test_a_missing_rollout_is_reported_as_an_inconsistency(broker: BrokerParts) -> None:
    broker.publish_one("a/0")
    broker.publish_one("a/1")
    broker.ring.drop(*broker.read_one(), "zero_advantage", step=0)
    broker.client.hdel(broker.keys.written, "1")
    sentence = read_group_outcomes(broker.client, broker.keys).inconsistency()
    assert sentence == "4 rollouts were published, but the outcome of 2 is recorded"
