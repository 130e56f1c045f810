import pytest
import redis

from broker.keys import Keys
from broker.ledger import KEPT_OUTCOMES, LedgerRow, Outcome
from tests.broker.house import House
from tests.groups import rollout_group, train_group


@pytest.fixture
def house(client: redis.Redis, keys: Keys) -> House:
    return House(client, keys, capacity=4)


def end(
    house: House, token: str, rewards: tuple[float | None, ...], *, step: int, arm: str = "guided", put: bool = False
) -> None:
    """One group of problem `x|y` on its whole way; `put`: into the ring, else dropped."""
    group_id = house.claim(token)
    assert group_id is not None
    group = rollout_group(group_id, rewards, problem_id="x|y", arm=arm)
    assert house.feed.publish(group_id, token, group)
    (delivery,) = house.read()
    for again in (False, True):
        if put:
            ended = house.ring.put(delivery.entry_id, train_group(group), step=step)
        else:
            ended = house.ring.drop(delivery.entry_id, group, "zero_advantage", step=step)
        assert ended is not again


@pytest.mark.parametrize("put", [True, False])
def test_an_oracle_in_a_group_is_no_attempt_and_no_success(house: House, put: bool) -> None:
    group_id = house.claim("a/0")
    assert group_id is not None
    group = rollout_group(group_id, (0.0, 0.0, None), arm="unguided", oracle=True)
    assert house.feed.publish(group_id, "a/0", group)
    (delivery,) = house.read()
    if put:
        assert house.ring.put(delivery.entry_id, train_group(group), step=1)
        assert house.ring.occupancy() == 4, "it is trained, so it takes a slot"
    else:
        assert house.ring.drop(delivery.entry_id, group, "zero_advantage", step=1)
    (row,) = house.ledger.rows()
    assert (row.attempts, row.successes, row.first_solve_step) == (2, 0, None)
    assert int(house.client.hget(house.keys.counters, "rollouts") or 0) == 3
    assert int(house.client.hget(house.keys.counters, "completion_tokens") or 0) == 9


def test_outcomes_are_kept_in_order_whichever_way_a_group_ended(house: House) -> None:
    end(house, "a/0", (0.0, 0.0), step=3)
    end(house, "a/1", (1.0, 0.0, None), step=4, put=True)
    end(house, "a/2", (1.0, 1.0), step=4)
    assert house.ledger.rows() == [
        LedgerRow(
            problem_id="x|y",
            arm="guided",
            attempts=6,
            successes=3,
            first_solve_step=4,
            last=(Outcome(3, 0, 2), Outcome(4, 1, 2), Outcome(4, 2, 2)),
        )
    ]


@pytest.mark.parametrize("put", [False, True])
def test_only_the_newest_outcomes_are_kept(house: House, put: bool) -> None:
    for step in range(KEPT_OUTCOMES + 3):
        end(house, f"a/{step}", (1.0, 0.0), step=step, put=put)
    (row,) = house.ledger.rows()
    assert [outcome.step for outcome in row.last] == list(range(3, KEPT_OUTCOMES + 3))
    assert row.attempts == 2 * (KEPT_OUTCOMES + 3)


def test_a_group_whose_verifier_always_failed_has_no_outcome(house: House) -> None:
    end(house, "a/0", (None, None), step=3)
    (row,) = house.ledger.rows()
    assert (row.attempts, row.last) == (0, ())


def test_arms_keep_their_own_outcomes(house: House) -> None:
    end(house, "a/0", (1.0, 0.0), step=1, arm="guided", put=True)
    end(house, "a/1", (0.0, 0.0), step=2, arm="unguided")
    guided, unguided = house.ledger.rows()
    assert (guided.last, unguided.last) == ((Outcome(1, 1, 2),), (Outcome(2, 0, 2),))


def test_a_reader_that_needs_no_outcomes_gets_none(house: House) -> None:
    end(house, "a/0", (1.0, 0.0), step=1)
    (row,) = house.ledger.rows(outcomes=False)
    assert (row.attempts, row.last) == (2, ())


def test_a_ledger_of_an_older_version_is_read_and_goes_on(house: House, keys: Keys) -> None:
    """Its three hashes are there, the fourth is not."""
    for key, value in ((keys.ledger_attempts, 8), (keys.ledger_successes, 1), (keys.ledger_first_solve, 2)):
        house.client.hset(key, "x|y|guided", value)
    (row,) = house.ledger.rows()
    assert (row.attempts, row.first_solve_step, row.last) == (8, 2, ())
    end(house, "a/0", (1.0, 0.0), step=9)
    (row,) = house.ledger.rows()
    assert (row.attempts, row.first_solve_step, row.last) == (10, 2, (Outcome(9, 1, 2),))


def test_solved_within_looks_at_the_newest_groups() -> None:
    row = LedgerRow("p", "unguided", 6, 1, 3, last=(Outcome(3, 1, 2), Outcome(4, 0, 2), Outcome(5, 0, 2)))
    assert [row.solved_within(groups) for groups in (1, 2, 3, 9)] == [False, False, True, True]
