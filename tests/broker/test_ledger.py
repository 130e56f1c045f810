import pytest
import redis

from broker.keys import Keys
from broker.ledger import KEPT_OUTCOMES, LedgerRow, Outcome
from tests.broker.broker_parts import BrokerParts
from tests.groups import rollout_group, train_group


@pytest.fixture
def broker(client: redis.Redis, keys: Keys) -> BrokerParts:
    return BrokerParts(client, keys, capacity=4)


def end(
    broker: BrokerParts,
    token: str,
    rewards: tuple[float | None, ...],
    *,
    step: int,
    arm: str = "guided",
    put: bool = False,
) -> None:
    """Processes one group of problem `x|y`; `put`: into the ring, else dropped."""
    group_id = broker.claim(token)
    assert group_id is not None
    group = rollout_group(group_id, rewards, problem_id="x|y", arm=arm)
    assert broker.feed.publish(group_id, token, group)
    (delivery,) = broker.read()
    for again in (False, True):
        if put:
            ended = broker.ring.put(delivery.entry_id, train_group(group), step=step)
        else:
            ended = broker.ring.drop(delivery.entry_id, group, "zero_advantage", step=step)
        assert ended is not again


@pytest.mark.parametrize("put", [True, False])
def test_an_oracle_solution_counts_neither_as_attempt_nor_as_success(broker: BrokerParts, put: bool) -> None:
    group_id = broker.claim("a/0")
    assert group_id is not None
    group = rollout_group(group_id, (0.0, 0.0, None), arm="unguided", oracle=True)
    assert broker.feed.publish(group_id, "a/0", group)
    (delivery,) = broker.read()
    if put:
        assert broker.ring.put(delivery.entry_id, train_group(group), step=1)
        assert broker.ring.occupancy() == 4, "it is trained, so it takes a slot"
    else:
        assert broker.ring.drop(delivery.entry_id, group, "zero_advantage", step=1)
    (row,) = broker.ledger.rows()
    assert (row.attempts, row.successes, row.first_solve_step) == (2, 0, None)
    assert int(broker.client.hget(broker.keys.counters, "rollouts") or 0) == 3
    assert int(broker.client.hget(broker.keys.counters, "completion_tokens") or 0) == 9


def test_outcomes_are_in_order_for_put_and_dropped_groups(broker: BrokerParts) -> None:
    end(broker, "a/0", (0.0, 0.0), step=3)
    end(broker, "a/1", (1.0, 0.0, None), step=4, put=True)
    end(broker, "a/2", (1.0, 1.0), step=4)
    assert broker.ledger.rows() == [
        LedgerRow(
            problem_id="x|y",
            arm="guided",
            attempts=6,
            successes=3,
            first_solve_step=4,
            last=(Outcome(3, 0, 2, 0), Outcome(4, 1, 2, 1), Outcome(4, 2, 2, 2)),
        )
    ]


@pytest.mark.parametrize("put", [False, True])
def test_only_the_newest_outcomes_are_kept(broker: BrokerParts, put: bool) -> None:
    for step in range(KEPT_OUTCOMES + 3):
        end(broker, f"a/{step}", (1.0, 0.0), step=step, put=put)
    (row,) = broker.ledger.rows()
    assert [outcome.step for outcome in row.last] == list(range(3, KEPT_OUTCOMES + 3))
    assert row.attempts == 2 * (KEPT_OUTCOMES + 3)


def test_a_group_whose_verifier_always_failed_has_no_outcome(broker: BrokerParts) -> None:
    end(broker, "a/0", (None, None), step=3)
    (row,) = broker.ledger.rows()
    assert (row.attempts, row.last) == (0, ())


def test_arms_keep_their_own_outcomes(broker: BrokerParts) -> None:
    end(broker, "a/0", (1.0, 0.0), step=1, arm="guided", put=True)
    end(broker, "a/1", (0.0, 0.0), step=2, arm="unguided")
    guided, unguided = broker.ledger.rows()
    assert (guided.last, unguided.last) == ((Outcome(1, 1, 2, 0),), (Outcome(2, 0, 2, 1),))


def test_outcomes_can_be_left_out(broker: BrokerParts) -> None:
    end(broker, "a/0", (1.0, 0.0), step=1)
    (row,) = broker.ledger.rows(outcomes=False)
    assert (row.attempts, row.last) == (2, ())


def test_a_ledger_of_an_older_version_can_be_read_and_extended(broker: BrokerParts, keys: Keys) -> None:
    """It has three hashes; `outcomes` is missing."""
    for key, value in ((keys.ledger_attempts, 8), (keys.ledger_successes, 1), (keys.ledger_first_solve, 2)):
        broker.client.hset(key, "x|y|guided", value)
    (row,) = broker.ledger.rows()
    assert (row.attempts, row.first_solve_step, row.last) == (8, 2, ())
    broker.client.hset(keys.ledger_outcomes, "other|guided", "3:1/8")
    assert broker.ledger.newest_outcomes() == {("other", "guided"): (Outcome(3, 1, 8),)}, "without group ids"
    end(broker, "a/0", (1.0, 0.0), step=9)
    (row,) = broker.ledger.rows()
    assert (row.attempts, row.first_solve_step, row.last) == (10, 2, (Outcome(9, 1, 2, 0),))


def test_solved_within_considers_the_newest_groups() -> None:
    row = LedgerRow("p", "unguided", 6, 1, 3, last=(Outcome(3, 1, 2), Outcome(4, 0, 2), Outcome(5, 0, 2)))
    assert [row.solved_within(groups) for groups in (1, 2, 3, 9)] == [False, False, True, True]
