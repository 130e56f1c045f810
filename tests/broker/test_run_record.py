import pytest
import redis

from broker.errors import UsageError
from broker.keys import Keys
from broker.run_record import LAYOUT, describe_run, open_run, read_run, require_layout, run_names
from tests.broker.broker_parts import BrokerParts


def test_the_record_of_a_run_is_read_back(client: redis.Redis, keys: Keys, run_name: str) -> None:
    assert read_run(client, keys) == {}
    open_run(client, keys, "hash", resume=False)
    describe_run(client, keys, {"num_hard": 64, "settings": "{}"})
    noted = read_run(client, keys)
    assert (noted["settings_hash"], noted["num_hard"], noted["settings"]) == ("hash", "64", "{}")
    assert run_name in run_names(client)


def test_ring_groups_and_stream_depth_are_read(client: redis.Redis, keys: Keys) -> None:
    broker = BrokerParts(client, keys)
    assert broker.ring.groups() == []
    assert broker.stream.oldest_unix_ms() is None
    broker.put_one("a/0", version=3)
    broker.put_one("a/1", version=4)
    broker.publish_one("a/2")
    first, second = broker.ring.groups()
    assert (first.group_id, first.arrival, first.samples, first.oldest_version) == (0, 1, 2, 3)
    assert (second.group_id, second.arrival, second.arm, second.problem_id) == (1, 2, "guided", "p1")
    seconds, _ = client.time()
    oldest_ms = broker.stream.oldest_unix_ms()
    assert oldest_ms is not None
    assert abs(oldest_ms / 1e3 - seconds) < 60


def test_a_run_of_another_version_is_neither_resumed_nor_read(client: redis.Redis, keys: Keys) -> None:
    open_run(client, keys, "hash", resume=False)
    open_run(client, keys, "hash", resume=True)
    require_layout(client, keys)
    for written, read in ((None, 1), (LAYOUT + 1, LAYOUT + 1)):
        client.hdel(keys.run, "layout")
        if written is not None:
            client.hset(keys.run, "layout", written)
        message = (
            rf"another version of pope-rl began the run .*layout {read}, this version reads {LAYOUT}\): continue with"
        )
        with pytest.raises(UsageError, match=message):
            open_run(client, keys, "hash", resume=True)
        with pytest.raises(UsageError, match=message):
            require_layout(client, keys)
