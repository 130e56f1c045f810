"""The table by length: by hand, against a slow loop, and with a real ring where long rollouts become stale."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import redis

from broker.group_outcomes import GroupOutcomes, RolloutOutcome, read_group_outcomes
from broker.keys import Keys
from deploy.statistics.starvation import LengthDeciles, StarvationRow, explain, starvation, total
from tests.broker.broker_parts import BrokerParts
from tests.groups import rollout_group, train_group

HARD, EASY = ("hard", "unguided"), ("easy", "easy")
ENDS = ("trained", "filtered.zero_advantage", "replaced", "stale", "failed.unreadable", "in_flight")


@dataclass(frozen=True)
class Group:
    """One issued group, with the lengths of its rollouts; none when it was not written."""

    end: str
    lengths: Sequence[int] = ()
    part: tuple[str, str] = HARD


def rows_of(*groups: Group) -> tuple[StarvationRow, ...]:
    """Of groups of two rollouts in the order of their group ids; a rollout of 100 tokens is truncated."""
    rollouts = Counter(RolloutOutcome(*g.part, g.end, n, truncated=n == 100) for g in groups for n in g.lengths)
    unwritten = tuple(group_id for group_id, group in enumerate(groups) if not group.lengths)
    outcomes = GroupOutcomes(tuple(group.end for group in groups), rollouts, unwritten, {}, rollouts.total())
    return starvation(outcomes, group_size=2, bucket_and_arm=lambda group_id: groups[group_id].part)


def test_deciles_of_ten_lengths_hold_one_each() -> None:
    lengths = LengthDeciles(Counter([30, 10, 20, 50, 40, 60, 70, 100, 80, 90]))
    assert [lengths.decile(n) for n in range(10, 101, 10)] == list(range(1, 11))
    assert lengths.bounds[3] == (30, 30)


def test_equal_lengths_are_in_one_decile() -> None:
    lengths = LengthDeciles({5: 3, 9: 7})
    assert (lengths.decile(5), lengths.decile(9)) == (1, 4)
    assert lengths.bounds == {1: (5, 5), 4: (9, 9)}
    assert LengthDeciles({7: 1}).bounds == {1: (7, 7)}


def test_deciles_are_the_smallest_class_that_holds_the_share() -> None:
    """Decile d ends at the shortest length that at least d tenths of the rollouts do not exceed."""
    rng = random.Random(0)
    for size in (1, 2, 9, 11, 57):
        drawn = [rng.randint(1, 30) for _ in range(size)]
        lengths = LengthDeciles(Counter(drawn))
        for n in set(drawn):
            slow = next(
                d for d in range(1, 11)
                if n <= min(m for m in drawn if 10 * sum(other <= m for other in drawn) >= d * size)
            )  # fmt: skip
            assert lengths.decile(n) == slow


def test_a_table_by_hand() -> None:
    rows = rows_of(
        Group("trained", [10, 20]),
        Group("stale", [30, 100]),
        Group("trained", [40, 50], EASY),
        Group("failed.engine"),
        Group("in_flight"),
    )
    assert [(row.bucket, row.arm, row.length_decile, row.tokens, dict(row.ended), row.truncated) for row in rows] == [
        ("easy", "easy", 6, (40, 40), {"trained": 1}, 0),
        ("easy", "easy", 7, (50, 50), {"trained": 1}, 0),
        ("hard", "unguided", 1, (10, 10), {"trained": 1}, 0),
        ("hard", "unguided", 2, (20, 20), {"trained": 1}, 0),
        ("hard", "unguided", 4, (30, 30), {"stale": 1}, 0),
        ("hard", "unguided", 9, (100, 100), {"stale": 1}, 1),
        ("hard", "unguided", None, None, {"failed.engine": 2, "in_flight": 2}, 0),
    ]


def test_the_table_equals_a_slow_loop() -> None:
    rng = random.Random(1)
    groups = [
        Group(rng.choice(ENDS), [rng.choice((3, 8, 8, 50, 100)) for _ in range(4)], rng.choice((HARD, EASY)))
        for _ in range(200)
    ]
    rows = rows_of(*groups)
    assert sum(row.rollouts for row in rows) == 800
    assert sum(row.truncated for row in rows) == sum(n == 100 for group in groups for n in group.lengths)
    for row in rows:
        assert row.tokens is not None
        low, high = row.tokens
        expected = Counter(
            group.end
            for group in groups
            for length in group.lengths
            if group.part == (row.bucket, row.arm) and low <= length <= high
        )
        assert row.ended == expected
        assert row.rollouts == expected.total()


def test_the_closing_line_compares_short_with_long_rollouts() -> None:
    rows = rows_of(Group("trained", [1, 2, 3, 4]), Group("stale", [5, 9]), Group("trained", [6, 7, 8, 10]))
    assert explain(rows) == (
        "lost to age (replaced or stale): 20.0% of all, 20.0% of the shorter half, 0.0% of the longest decile"
    )
    assert explain(rows_of(Group("filtered.zero_advantage", [1, 2]))).endswith("nothing yet")
    assert explain(()).endswith("nothing yet")


def test_a_bound_on_the_lag_starves_long_rollouts_and_the_table_shows_it(client: redis.Redis, keys: Keys) -> None:
    """A rollout of 100 k tokens takes k steps to write; those that took more than two are dropped as stale."""
    broker = BrokerParts(client, keys, batch_groups=1)
    broker.ring.adopt(10)
    for n in range(40):
        num_tokens = 50 * (n % 10) + 1
        step = broker.ring.committed() + 1
        group_id = broker.claim(f"a/{n}")
        assert group_id is not None
        group = rollout_group(group_id, num_tokens=num_tokens, version=step - 1 - num_tokens // 100)
        assert broker.feed.publish(group_id, f"a/{n}", group)
        assert broker.ring.put(broker.read_one()[0], train_group(group), step=step)
        if broker.ring.take(step, 2, max_lag=2):
            broker.ring.commit(step)
    outcomes, balance = read_group_outcomes(client, keys), broker.balance()
    assert outcomes.inconsistency() is None
    rows = starvation(outcomes, group_size=2, bucket_and_arm=lambda group_id: HARD)
    assert [row.length_decile for row in rows] == list(range(1, 11))
    assert [row.lost_to_age for row in rows] == [0.0] * 6 + [1.0] * 4
    assert total(rows).ended == {"trained": 2 * balance.trained, "stale": 2 * balance.stale}
    assert (balance.trained, balance.stale) == (24, 16)
    assert explain(rows) == (
        "lost to age (replaced or stale): 40.0% of all, 0.0% of the shorter half, 100.0% of the longest decile"
    )


@pytest.mark.parametrize("end", ENDS)
def test_the_share_lost_to_age_is_of_trained_replaced_and_stale_rollouts(end: str) -> None:
    (row,) = rows_of(Group(end, [4, 4]))
    expected = {"trained": 0.0, "replaced": 1.0, "stale": 1.0}.get(end)
    assert row.lost_to_age == expected
