import redis

from broker.balance import Balance
from broker.keys import Keys
from tests.broker.broker_parts import BrokerParts


def test_a_fresh_run_balances_at_zero(client: redis.Redis, keys: Keys) -> None:
    balance = BrokerParts(client, keys).balance()
    assert (balance.issued, balance.limit, balance.drained) == (0, None, False)


def test_explain_lists_all_groups_and_the_sum(client: redis.Redis, keys: Keys) -> None:
    broker = BrokerParts(client, keys, capacity=4, batch_groups=1)
    broker.feed.open(20)
    broker.put_one("a/0")
    broker.ring.take(1, 2, max_lag=None)
    broker.ring.commit(1)
    broker.put_one("a/1")
    broker.ring.take(2, 2, max_lag=None)
    for n in (2, 3, 4):  # the third replaces the first
        broker.put_one(f"a/{n}")
    broker.publish_one("a/5", rewards=(0.0, 0.0))
    broker.ring.drop(*broker.read_one(), "zero_advantage", step=1)
    broker.publish_one("a/6")
    broker.claim("a/7")
    broker.feed.fail(7, "a/7", "engine")
    broker.claim("a/8")
    text = broker.balance().explain()
    assert text == "\n".join(
        [
            "issued        9 groups of 20",
            "  trained     1   2 samples, steps 1..1",
            "  filtered    1   zero_advantage 1",
            "  replaced    1   by newer groups in a full ring",
            "  stale       0",
            "  failed      1   engine 1",
            "  in flight   5   leased 1, stream 1, ring 2, taken 1",
            "1 + 1 + 1 + 0 + 1 + 5 = 9: the balance holds",
        ]
    )


def test_explain_says_when_the_balance_does_not_hold() -> None:
    broken = Balance(
        issued=5,
        trained=1,
        filtered={},
        replaced=0,
        stale=0,
        failed={},
        in_flight={"leased": 1, "reissue": 0, "stream": 0, "ring": 0, "taken": 0},
        trained_samples=8,
        ring_samples=0,
        committed=1,
        taken=1,
        limit=None,
        totals={},
    )
    assert not broken.holds
    assert broken.explain().endswith("1 + 0 + 0 + 0 + 0 + 1 = 2: THE BALANCE DOES NOT HOLD, issued is 5")
