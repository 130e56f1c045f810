"""The preprocessor on threads, against a real Redis."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec
import pytest
import redis

from broker.keys import Keys
from broker.metrics import Control, Heartbeats, Metrics
from broker.records import WeightAnnouncement, float32_array
from broker.reports import GroupEnd, PreprocessWork, RoleTimes
from conf.schema import (
    BrokerSettings,
    DeploySettings,
    LearnerSettings,
    PreprocessSettings,
    RingSettings,
    RunConfig,
    RunSettings,
)
from preprocess import train_groups
from preprocess.filters import drop_reason
from preprocess.preprocessor import Preprocessor
from tests.broker.broker_parts import BrokerParts
from tests.groups import completion, rollout_group


@pytest.fixture
def config(run_name: str) -> RunConfig:
    return RunConfig(
        run=RunSettings(name=run_name),
        broker=BrokerSettings(ring=RingSettings(capacity=8)),
        preprocess=PreprocessSettings(claim_idle_s=0.5),
        deploy=DeploySettings(heartbeat_s=0.1, dead_after_s=5.0),
    )


@pytest.fixture
def broker(client: redis.Redis, keys: Keys) -> BrokerParts:
    return BrokerParts(client, keys, capacity=8)


@contextmanager
def working(config: RunConfig, url: str, client: redis.Redis, *, workers: int = 1) -> Iterator[list[Preprocessor]]:
    """Runs preprocessors on threads; stops them at the end and fails if one raised."""
    preprocessors = [Preprocessor(config, url, f"preprocess-{n}") for n in range(workers)]
    raised: list[BaseException] = []

    def work(worker: Preprocessor) -> None:
        try:
            worker.run()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in preprocessors]
    for thread in threads:
        thread.start()
    try:
        yield preprocessors
    finally:
        Control(client, Keys(config.run.name)).stop("test")
        for thread in threads:
            thread.join(10)
    assert not raised
    assert not any(thread.is_alive() for thread in threads)


def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def test_a_worker_reports_when_it_works_and_when_it_waits(
    config: RunConfig, redis_url: str, client: redis.Redis, broker: BrokerParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.role_clock.REPORT_EVERY_S", 0.1)
    monkeypatch.setattr("preprocess.preprocessor.REPORT_S", 0.1)
    metrics = Metrics(client, Keys(config.run.name))
    broker.publish_one("a/0")
    with working(config, redis_url, client):
        until(lambda: len(metrics.read(RoleTimes)) >= 3)
    reports = metrics.read(RoleTimes)
    assert reports[0].role == "preprocess-0"
    assert reports[0].seconds["work"] > 0
    assert reports[-1].seconds["wait_input"] > 0.5 * reports[-1].wall_s


@pytest.mark.parametrize(("version", "computed"), [(1, True), (2, False)])
def test_the_reference_is_asked_until_the_kl_penalty_has_faded(
    config: RunConfig, redis_url: str, broker: BrokerParts, version: int, computed: bool
) -> None:
    """Over 4 rollouts at 2 a step: step 2, after version 1, has a penalty, and step 3 has none."""
    settings = replace(config, learner=LearnerSettings(kl_coef=0.1, kl_samples=4, batch_samples=2))
    broker.board.announce(WeightAnnouncement(version=version, backend="file"))
    broker.publish_one("a/0")
    worker = Preprocessor(
        settings, redis_url, "preprocess-0", lambda group: tuple(rollout.logprobs for rollout in group.rollouts)
    )
    (delivery,) = worker._read()
    assert worker._finish(delivery, [delivery])
    broker.ring.take(1, 2, max_lag=None)
    (group,) = broker.ring.batch(1) or []
    assert (group.reference_logprobs is not None) == computed


def test_groups_enter_the_ring_with_their_advantages_or_are_dropped_with_a_reason(
    config: RunConfig, redis_url: str, client: redis.Redis, broker: BrokerParts
) -> None:
    broker.board.announce(WeightAnnouncement(version=3, backend="file"))
    broker.publish_one("a/0", rewards=(1.0, 0.0))
    broker.publish_one("a/1", rewards=(0.0, 0.0))
    broker.publish_one("a/2", rewards=(1.0, None))
    broker.publish_one("a/3", rewards=(0.0, 1.0))
    with working(config, redis_url, client):
        until(lambda: broker.stream.depth() == 0)
    balance = broker.balance()
    assert balance.filtered == {"zero_advantage": 1, "no_reward": 1}
    assert broker.ring.take(1, 4, max_lag=None) == [0, 3]
    batch = broker.ring.batch(1)
    assert batch is not None
    assert [float32_array(group.advantages).tolist() for group in batch] == [[0.5, -0.5], [-0.5, 0.5]]
    assert {row.problem_id: row.first_solve_step for row in broker.ledger.rows()} == {
        "p0": 3,
        "p1": None,
        "p2": 3,
        "p3": 3,
    }


def test_an_oracle_shares_the_baseline_and_is_counted_nowhere(
    config: RunConfig, redis_url: str, client: redis.Redis, broker: BrokerParts, keys: Keys
) -> None:
    group_id = broker.claim("a/0")
    assert group_id is not None
    group = rollout_group(group_id, (0.0, 0.0, 0.0), arm="unguided", oracle=True)
    assert broker.feed.publish(group_id, "a/0", group)
    with working(config, redis_url, client):
        until(lambda: broker.stream.depth() == 0)
    (ended,) = Metrics(client, keys).read(GroupEnd)
    assert (ended.rollouts, ended.judged, ended.successes, ended.reward_sum) == (3, 3, 0, 0.0)
    assert ended.completion_tokens == 9
    assert "correct" not in ended.verdicts
    assert broker.ring.take(1, 4, max_lag=0) == [group_id]
    batch = broker.ring.batch(1)
    assert batch is not None
    assert float32_array(batch[0].advantages).tolist() == [-0.25, -0.25, -0.25, 0.75]


def test_overlong_rollouts_get_lower_advantages_and_still_count_as_successes(
    config: RunConfig, redis_url: str, client: redis.Redis, broker: BrokerParts
) -> None:
    config = replace(
        config,
        actors=replace(config.actors, max_completion_tokens=4),
        preprocess=replace(config.preprocess, overlong_tokens=2),
    )
    group_id = broker.claim("a/0")
    assert group_id is not None
    group = rollout_group(group_id, (1.0, 1.0))
    longest = completion(1.0, num_tokens=4)
    group = msgspec.structs.replace(group, rollouts=(completion(1.0, num_tokens=2), longest))
    assert broker.feed.publish(group_id, "a/0", group)
    with working(config, redis_url, client):
        until(lambda: broker.stream.depth() == 0)
    assert broker.ring.take(1, 2, max_lag=None) == [group_id], "right and too long teaches something"
    batch = broker.ring.batch(1)
    assert batch is not None
    assert float32_array(batch[0].advantages).tolist() == [0.5, -0.5]
    (row,) = broker.ledger.rows()
    assert (row.attempts, row.successes) == (2, 2)


def test_groups_without_a_gradient_are_kept_when_the_setting_says_so(
    config: RunConfig, redis_url: str, client: redis.Redis, broker: BrokerParts
) -> None:
    config = replace(config, preprocess=replace(config.preprocess, drop_zero_advantage=False))
    broker.publish_one("a/0", rewards=(0.0, 0.0))
    with working(config, redis_url, client):
        until(lambda: broker.stream.depth() == 0)
    assert broker.balance().in_flight["ring"] == 1


def test_an_unreadable_record_is_a_dead_letter_and_other_groups_pass(
    config: RunConfig, redis_url: str, client: redis.Redis, broker: BrokerParts, keys: Keys
) -> None:
    assert broker.claim("bad/0") == 0
    broker.feed.publish(0, "bad/0", rollout_group(0))
    ((entry_id, fields),) = client.xrange(keys.rollouts)
    client.delete(keys.rollouts)
    client.xadd(keys.rollouts, {**fields, b"group": fields[b"group"][:-1] + b"\xff"}, id=entry_id)
    broker.publish_one("a/1")
    with working(config, redis_url, client):
        until(lambda: broker.stream.depth() == 0)
    balance = broker.balance()
    assert (balance.failed, balance.in_flight["ring"]) == ({"unreadable": 1}, 1)
    ((_, letter),) = client.xrange(keys.dead_letters)
    assert b"checksum" in letter[b"reason"]


def test_a_group_that_raises_comes_back_and_is_a_dead_letter_after_three_deliveries(
    config: RunConfig, redis_url: str, client: redis.Redis, broker: BrokerParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    honest = drop_reason

    def raises(rewards: list[float | None], *rest: Any) -> str | None:
        if len(rewards) == 3:
            events.append("raised")
            raise ZeroDivisionError("no such luck")
        return honest(rewards, *rest)

    monkeypatch.setattr(train_groups, "drop_reason", raises)
    broker.publish_one("a/0", rewards=(1.0, 0.0, 0.0))
    broker.publish_one("a/1")
    with working(config, redis_url, client):
        until(lambda: broker.stream.depth() == 0)
    assert events == ["raised"] * 3
    balance = broker.balance()
    assert (balance.failed, balance.in_flight["ring"]) == ({"unreadable": 1}, 1)
    ((_, letter),) = client.xrange(broker.keys.dead_letters)
    assert letter[b"reason"] == b"ZeroDivisionError: no such luck"


def test_a_group_that_kills_its_worker_is_a_dead_letter(
    config: RunConfig, redis_url: str, client: redis.Redis, broker: BrokerParts
) -> None:
    broker.publish_one("a/0")
    broker.read("dead-0")
    for n in (1, 2):
        assert broker.read(f"dead-{n}", idle_s=0.0)[0].deliveries == n + 1
    with working(config, redis_url, client):
        until(lambda: broker.stream.depth() == 0)
    assert broker.balance().failed == {"unreadable": 1}


def test_the_groups_of_a_dead_worker_are_finished_by_another(
    config: RunConfig, redis_url: str, client: redis.Redis, broker: BrokerParts
) -> None:
    broker.publish_one("a/0")
    broker.read("dead")
    with working(config, redis_url, client):
        until(lambda: broker.stream.depth() == 0)
    assert broker.balance().in_flight["ring"] == 1


def test_two_workers_end_every_group_once(
    config: RunConfig, redis_url: str, client: redis.Redis, broker: BrokerParts
) -> None:
    with working(config, redis_url, client, workers=2):
        for n in range(60):
            broker.publish_one(f"a/{n}", rewards=(1.0, 0.0) if n % 3 else (0.0, 0.0))
        until(lambda: broker.stream.depth() == 0)
    balance = broker.balance()
    assert balance.filtered == {"zero_advantage": 20}
    assert balance.replaced + balance.in_flight["ring"] == 40
    groups = Metrics(client, broker.keys).read(GroupEnd)
    assert sorted(g.group_id for g in groups) == list(range(60))


def test_a_worker_that_waits_for_room_sends_heartbeats_and_keeps_its_claims(
    config: RunConfig, redis_url: str, client: redis.Redis, broker: BrokerParts, keys: Keys
) -> None:
    ring = RingSettings(capacity=4, when_full="wait")
    config = replace(config, broker=replace(config.broker, ring=ring))
    for n in range(6):
        broker.publish_one(f"a/{n}")
    with working(config, redis_url, client, workers=2):
        until(lambda: broker.balance().in_flight["ring"] == 2)
        time.sleep(1.2)  # longer than claim_idle_s: without extended claims groups would be delivered again
        assert {beat.status for beat in Heartbeats(client, keys).all().values()} >= {"waiting for room in the ring"}
        assert all(silence < 1.0 for silence in Heartbeats(client, keys).silence().values())
        for step in (1, 2, 3):
            until(lambda step=step: broker.ring.take(step, 4, max_lag=None) is not None)
            broker.ring.commit(step)
    balance = broker.balance()
    assert (balance.trained, balance.replaced, balance.failed) == (6, 0, {})


def test_a_stop_reaches_a_worker_that_waits_for_room(
    config: RunConfig, redis_url: str, client: redis.Redis, broker: BrokerParts
) -> None:
    config = replace(config, broker=replace(config.broker, ring=RingSettings(capacity=2, when_full="wait")))
    for n in range(3):
        broker.publish_one(f"a/{n}")
    with working(config, redis_url, client):
        until(lambda: broker.balance().in_flight["ring"] == 1)
    assert broker.balance().in_flight["stream"] == 2


def test_reports_give_reward_by_arm_and_outcomes_of_groups(
    config: RunConfig, redis_url: str, client: redis.Redis, broker: BrokerParts, keys: Keys
) -> None:
    for n, (arm, rewards) in enumerate(
        [("guided", (1.0, 0.0)), ("guided", (1.0, 1.0)), ("unguided", (0.0, 0.0)), ("unguided", (0.0, None))]
    ):
        assert broker.claim(f"a/{n}") == n
        broker.feed.publish(n, f"a/{n}", rollout_group(n, rewards, arm=arm))
    with working(config, redis_url, client):
        until(lambda: broker.stream.depth() == 0)

    everything = Metrics(client, keys).read(PreprocessWork)
    outcomes: Counter[str] = Counter()
    for report in everything:
        outcomes.update(report.outcomes)
    assert sum(report.groups_seen for report in everything) == 4
    assert outcomes == {"kept": 1, "zero_advantage": 2, "no_reward": 1}
    assert sum(report.rollouts.get("guided", 0) for report in everything) == 4
    reports = [report for report in everything if "guided" in report.reward_mean]
    assert reports[0].worker == "preprocess-0"
    rewards_seen = sum(
        report.reward_mean["guided"] * report.judged["guided"] for report in reports
    )
    assert rewards_seen == 3.0

    groups = {g.group_id: g for g in Metrics(client, keys).read(GroupEnd)}
    assert [groups[n].outcome for n in range(4)] == ["kept", "zero_advantage", "zero_advantage", "no_reward"]
    assert (groups[3].judged, groups[3].rollouts, groups[3].verdicts["timeout"]) == (1, 2, 1)


@pytest.mark.faults
def test_a_worker_survives_a_server_that_is_killed_and_comes_back(
    config: RunConfig, client: redis.Redis, redis_server: object, redis_url: str, broker: BrokerParts
) -> None:
    from deploy.cluster.redis_server import EmbeddedRedis

    assert isinstance(redis_server, EmbeddedRedis)
    with working(config, redis_url, client):
        broker.publish_one("a/0")
        until(lambda: broker.stream.depth() == 0)
        time.sleep(1.5)  # this server writes its file every second
        redis_server.stop()
        time.sleep(0.3)
        redis_server.start()
        broker.publish_one("a/1")
        until(lambda: broker.stream.depth() == 0)
    assert broker.balance().in_flight["ring"] == 2
