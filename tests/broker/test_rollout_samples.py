import redis

from broker.keys import Keys
from broker.metrics import read_entries
from broker.rollout_samples import KEPT_SAMPLES, MAX_TOKENS, RolloutSamples, numbers


def test_samples_are_read_newest_first(client: redis.Redis, keys: Keys) -> None:
    samples = RolloutSamples(client, keys)
    for n in range(4):
        samples.add({"n": n, "text": "a\nb"})
    assert [s["n"] for s in samples.newest(2)] == ["3", "2"]
    assert samples.shown() == set()


def test_shown_returns_the_newest_samples(client: redis.Redis, keys: Keys) -> None:
    samples = RolloutSamples(client, keys)
    samples.add({"ordinal": 17, "index": 3})
    samples.add({"ordinal": 18, "index": 0})
    samples.add({"ordinal": 17, "index": 3})
    assert samples.shown() == {(17, 3), (18, 0)}
    assert client.llen(keys.samples_shown) == 2


def test_the_list_of_shown_samples_is_bounded(client: redis.Redis, keys: Keys) -> None:
    samples = RolloutSamples(client, keys)
    for n in range(KEPT_SAMPLES + 3):
        samples.add({"ordinal": n, "index": 0})
    shown = samples.shown()
    assert len(shown) == KEPT_SAMPLES
    assert (2, 0) not in shown
    assert (KEPT_SAMPLES + 2, 0) in shown


def test_ratios_are_cut_at_the_token_limit_of_a_sample(client: redis.Redis, keys: Keys) -> None:
    RolloutSamples(client, keys).add_ratios(17, 3, 5, [1.0, 0.51234, 2.0] + [1.0] * MAX_TOKENS)
    (entry,) = read_entries(client, keys.samples_ratios)
    assert (entry["ordinal"], entry["index"], entry["step"]) == ("17", "3", "5")
    assert entry["ratios"].split()[:3] == ["1", "0.5123", "2"]
    assert len(entry["ratios"].split()) == MAX_TOKENS


def test_whole_numbers_stay_whole() -> None:
    assert numbers([123456, 7]) == "123456 7"
    assert numbers([-0.123456, 2.0]) == "-0.1235 2"
