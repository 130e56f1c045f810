import redis

from broker.keys import Keys
from broker.run_record import describe_run, open_run, read_run, run_names
from tests.broker.house import House


def test_a_run_describes_itself(client: redis.Redis, keys: Keys, run_name: str) -> None:
    assert read_run(client, keys) == {}
    open_run(client, keys, "hash", resume=False)
    describe_run(client, keys, {"num_hard": 64, "settings": "{}"})
    noted = read_run(client, keys)
    assert (noted["settings_hash"], noted["num_hard"], noted["settings"]) == ("hash", "64", "{}")
    assert run_name in run_names(client)


def test_a_look_into_the_ring_and_the_stream(client: redis.Redis, keys: Keys) -> None:
    house = House(client, keys)
    assert house.ring.groups() == []
    assert house.stream.oldest_unix_ms() is None
    house.put_one("a/0", version=3)
    house.put_one("a/1", version=4)
    house.publish_one("a/2")
    first, second = house.ring.groups()
    assert (first.ordinal, first.arrival, first.samples, first.oldest_version) == (0, 1, 2, 3)
    assert (second.ordinal, second.arrival, second.arm, second.problem_id) == (1, 2, "guided", "p1")
    seconds, _ = client.time()
    oldest_ms = house.stream.oldest_unix_ms()
    assert oldest_ms is not None
    assert abs(oldest_ms / 1e3 - seconds) < 60
