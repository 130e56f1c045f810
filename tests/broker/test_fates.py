from dataclasses import replace

import msgspec
import pytest
import redis

from broker.fates import GroupFate, RolloutOutline, outline, read_fates
from broker.keys import Keys
from tests.broker.house import House
from tests.groups import completion, rollout_group


@pytest.fixture
def house(client: redis.Redis, keys: Keys) -> House:
    """Four slots: two groups of two samples; a batch is one group."""
    return House(client, keys, capacity=4, batch_groups=1)


def ends(house: House) -> dict[int, str]:
    """Ordinal -> end, of books that agree."""
    fates = read_fates(house.client, house.keys)
    assert fates.problem() is None
    return {group.ordinal: group.end for group in fates.groups}


def test_an_outline_says_what_a_fate_may_depend_on() -> None:
    group = rollout_group(0, (1.0, None), num_tokens=7)
    cut = msgspec.structs.replace(completion(0.0, num_tokens=12), finish_reason="length")
    group = msgspec.structs.replace(group, completions=(*group.completions, cut))
    assert outline(group) == "hard guided 7 7v 12t"


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
    written, unwritten = read_fates(house.client, house.keys).groups
    assert written == GroupFate(
        0, "in_flight", ("hard", "guided"), (RolloutOutline(3, False, False), RolloutOutline(3, False, True))
    )
    assert unwritten == GroupFate(1, "in_flight")
    house.ring.drop(*house.read_one(), "no_reward", step=0)
    assert read_fates(house.client, house.keys).groups[0] == replace(written, end="filtered.no_reward")


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
