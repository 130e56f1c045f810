import time

import pytest
import redis

from broker import metrics
from broker.keys import Keys
from broker.metrics import Control, Heartbeats, Metrics


def test_numbers_come_back_as_they_were(client: redis.Redis, keys: Keys) -> None:
    room = Metrics(client, keys)
    room.report("learner", {"learner/loss/mean": 0.1 + 0.2, "step": 3, "note": "über"})
    (report,) = room.read("learner")
    assert float(report["learner/loss/mean"]) == 0.1 + 0.2
    assert (report["step"], report["note"]) == ("3", "über")
    assert abs(int(report["id"].split("-")[0]) / 1000 - time.time()) < 60


def test_a_reader_goes_on_where_it_stopped(
    client: redis.Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "_PAGE", 3)
    room = Metrics(client, keys)
    for n in range(7):
        room.report("actors", {"n": n})
    reports = room.read("actors")
    assert [r["n"] for r in reports] == [str(n) for n in range(7)]
    assert [r["n"] for r in room.read("actors", start=f"({reports[4]['id']}")] == ["5", "6"]
    assert room.read("preprocess") == []


def test_signs_of_life_carry_the_servers_time(client: redis.Redis, keys: Keys) -> None:
    heartbeats = Heartbeats(client, keys)
    heartbeats.beat("actor-0", "waiting for the feed")
    moment, status = heartbeats.all()["actor-0"]
    assert status == "waiting for the feed"
    assert abs(moment - time.time()) < 60
    time.sleep(0.05)
    assert 0.04 < heartbeats.silence()["actor-0"] < 10
    heartbeats.forget("actor-0")
    assert heartbeats.all() == {}


def test_the_first_reason_to_stop_stands_until_it_is_cleared(client: redis.Redis, keys: Keys) -> None:
    control = Control(client, keys)
    assert control.stopped() is None
    control.stop("all steps done")
    control.stop("something else")
    assert control.stopped() == "all steps done"
    control.clear()
    assert control.stopped() is None


def test_silence_is_counted_while_somebody_looks_whatever_the_servers_clock_says(
    client: redis.Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    heartbeats = Heartbeats(client, keys)
    heartbeats.beat("actor-0", "x")
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    first = heartbeats.silence()["actor-0"]
    now += 2
    assert heartbeats.silence()["actor-0"] == pytest.approx(first + 2)
    now += 60  # the server was away, or we were
    assert heartbeats.silence()["actor-0"] == pytest.approx(first + 7)
    jumped = f"{int((time.time() - 3600) * 1000)} x"  # an hour back
    client.hset(keys.heartbeats, "actor-0", jumped)
    now += 1
    assert heartbeats.silence()["actor-0"] == 0
    now += 1
    assert heartbeats.silence()["actor-0"] == pytest.approx(1)
