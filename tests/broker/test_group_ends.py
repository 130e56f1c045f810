import msgspec
import pytest
import redis

from broker.group_ends import RolloutFate, outline, read_fates
from broker.keys import Keys
from broker.records import RolloutGroup
from tests.broker.house import House
from tests.groups import completion, rollout_group


@pytest.fixture
def house(client: redis.Redis, keys: Keys) -> House:
    """Four slots: two groups of two samples; a batch is one group."""
    return House(client, keys, capacity=4, batch_groups=1)


def ends(house: House) -> dict[int, str]:
    """Group id -> end, of books that agree."""
    fates = read_fates(house.client, house.keys)
    assert fates.problem() is None
    return dict(enumerate(fates.ends))


def test_an_outline_says_what_a_fate_may_depend_on() -> None:
    group = rollout_group(0, (1.0, None), num_tokens=7)
    cut = msgspec.structs.replace(completion(0.0, num_tokens=12), finish_reason="length")
    group = msgspec.structs.replace(group, rollouts=(*group.rollouts, cut))
    assert outline(group) == "hard guided 7 7v 12t"


@pytest.mark.parametrize(
    ("num_tokens", "told"), [(1, 1), (9, 9), (99, 99), (101, 100), (996, 1000), (1251, 1300), (16384, 16000)]
)
def test_a_length_is_told_to_two_significant_digits(num_tokens: int, told: int) -> None:
    assert outline(rollout_group(0, (1.0,), num_tokens=num_tokens)) == f"hard guided {told}"


def test_all_lengths_up_to_a_budget_are_few_different_ones() -> None:
    """Per decade 90 of them: 1 to 99, then 100 to 990, 1,000 to 9,900 and 10,000 to 16,000."""
    long = rollout_group(0, (1.0,), num_tokens=1)
    told = {outline(_as_long_as(long, num_tokens)) for num_tokens in range(1, 16385)}
    assert len(told) == 99 + 90 + 90 + 7


def _as_long_as(group: RolloutGroup, num_tokens: int) -> RolloutGroup:
    first = msgspec.structs.replace(group.rollouts[0], token_ids=bytes(4 * num_tokens))
    return msgspec.structs.replace(group, rollouts=(first,))


def test_every_group_is_noted_where_its_end_is_counted(house: House) -> None:
    house.put_one("a/0")
    house.ring.take(1, 2, max_lag=None)
    assert ends(house) == {0: "in_flight"}
    house.ring.commit(1)
    house.put_one("a/1")
    house.put_one("a/2")
    house.put_one("a/3")  # replaces 1
    house.publish_one("a/4", rewards=(0.0, 0.0))
    house.ring.drop(*house.read_one(), "zero_advantage", step=1)
    house.claim("a/5")
    house.feed.fail(5, "a/5", "engine")
    house.claim("a/6", lease_s=0.0)
    house.feed.release("a", max_attempts=1)
    house.publish_one("b/7")
    house.stream.dead_letter(house.read_one()[0], "torn")
    house.claim("b/8")
    expected = {0: "trained", 1: "replaced", 2: "in_flight", 3: "in_flight", 4: "filtered.zero_advantage",
                5: "failed.engine", 6: "failed.attempts", 7: "failed.unreadable", 8: "in_flight"}  # fmt: skip
    assert ends(house) == expected
    house.ring.adopt(9)  # the learner is nine steps ahead of this server: what it held is too old by now
    house.ring.take(10, 2, max_lag=0)
    assert ends(house) == {**expected, 2: "stale", 3: "stale"}
    house.balance()


def test_steps_the_server_had_not_counted_are_noted_when_it_hears_of_them(house: House) -> None:
    house.put_one("a/0")
    house.ring.take(1, 2, max_lag=None)
    house.ring.adopt(1)
    assert ends(house) == {0: "trained"}


def test_what_was_written_is_known_until_after_the_end(house: House) -> None:
    house.publish_one("a/0", rewards=(1.0, None))
    house.claim("a/1")
    fates = read_fates(house.client, house.keys)
    assert fates.rollouts == {
        RolloutFate("hard", "guided", "in_flight", 3): 1,
        RolloutFate("hard", "guided", "in_flight", 3, verifier_failed=True): 1,
    }
    assert fates.unwritten == (1,)
    house.ring.drop(*house.read_one(), "no_reward", step=0)
    fates = read_fates(house.client, house.keys)
    assert fates.rollouts == {
        RolloutFate("hard", "guided", "filtered.no_reward", 3): 1,
        RolloutFate("hard", "guided", "filtered.no_reward", 3, verifier_failed=True): 1,
    }
    assert house.client.hlen(house.keys.written) == 0


def test_rollouts_of_every_end_are_counted_and_none_is_kept_by_its_group(house: House) -> None:
    house.put_one("a/0")
    house.ring.take(1, 2, max_lag=None)
    house.ring.commit(1)
    for n in (1, 2, 3):
        house.put_one(f"a/{n}")  # the third replaces the first
    house.publish_one("a/4")
    house.stream.dead_letter(house.read_one()[0], "torn")
    house.claim("a/5")
    house.feed.fail(5, "a/5", "engine")
    fates = read_fates(house.client, house.keys)
    expected = {"trained": 2, "replaced": 2, "in_flight": 4, "failed.unreadable": 2}
    assert fates.rollouts == {RolloutFate("hard", "guided", end, 3): count for end, count in expected.items()}
    assert fates.unwritten == (5,)
    assert sorted(house.client.hkeys(house.keys.written)) == [b"2", b"3"]
    assert house.client.strlen(house.keys.ended) == 2, "a byte a group, up to the last that ended so far"


def test_what_is_kept_does_not_grow_with_the_groups_but_for_a_byte_each(house: House) -> None:
    def kept() -> int:
        return sum(house.client.memory_usage(key) or 0 for key in (house.keys.written, house.keys.fates))

    def go_through(first: int, last: int) -> None:
        for n in range(first, last):
            house.publish_one(f"a/{n}", rewards=(0.0, 1.0))
            house.ring.drop(*house.read_one(), "zero_advantage", step=0)

    go_through(0, 20)
    before = kept()
    go_through(20, 120)
    assert kept() == before
    assert house.client.strlen(house.keys.ended) == 120


def test_a_repeated_script_notes_nothing_else(house: House) -> None:
    house.publish_one("a/0")
    entry_id, group = house.read_one()
    assert house.ring.drop(entry_id, group, "zero_advantage", step=0)
    assert not house.ring.drop(entry_id, group, "no_reward", step=0)
    assert ends(house) == {0: "filtered.zero_advantage"}


def test_notes_that_miss_a_group_are_told_from_books_that_agree(house: House) -> None:
    house.publish_one("a/0")
    house.ring.drop(*house.read_one(), "zero_advantage", step=0)
    house.client.delete(house.keys.ended)
    sentence = read_fates(house.client, house.keys).problem()
    assert sentence is not None
    assert sentence.startswith("1 groups are counted as filtered.zero_advantage, but 0 are noted as such")


def test_rollouts_whose_fate_is_not_noted_are_told_from_books_that_agree(house: House) -> None:
    house.publish_one("a/0")
    house.publish_one("a/1")
    house.ring.drop(*house.read_one(), "zero_advantage", step=0)
    house.client.hdel(house.keys.written, "1")
    sentence = read_fates(house.client, house.keys).problem()
    assert sentence == "4 rollouts were published, but it is noted of 2 what became of them"
