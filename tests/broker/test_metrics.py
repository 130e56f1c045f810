import time

import pytest
import redis

from broker import metrics
from broker.keys import Keys
from broker.metrics import Control, Heartbeats, Metrics
from broker.reports import DriverNote, LearnerStep, PreprocessWork, WeightSync
from tests.reports import learner_step, note, weight_sync


def test_numbers_come_back_as_they_were(client: redis.Redis, keys: Keys) -> None:
    room = Metrics(client, keys)
    room.report(learner_step(3, loss=0.1 + 0.2))
    room.report(note("über"))
    (report,) = room.read(LearnerStep)
    assert report.loss == 0.1 + 0.2
    assert (report.step, room.read(DriverNote)[0].note) == (3, "über")
    assert abs(report.unix_s - time.time()) < 60


def test_a_reader_goes_on_where_it_stopped(
    client: redis.Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "_PAGE", 3)
    room = Metrics(client, keys)
    for n in range(7):
        room.report(weight_sync(n))
    reports = room.read(WeightSync)
    assert [r.version for r in reports] == list(range(7))
    assert [r.version for r in room.read(WeightSync, start=f"({reports[4].id}")] == [5, 6]
    assert room.read(PreprocessWork) == []


def test_signs_of_life_carry_the_servers_time(client: redis.Redis, keys: Keys) -> None:
    heartbeats = Heartbeats(client, keys)
    heartbeats.beat("actor-0", "waiting for the feed")
    beat = heartbeats.all()["actor-0"]
    assert beat.status == "waiting for the feed"
    assert abs(beat.unix_s - time.time()) < 60
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
