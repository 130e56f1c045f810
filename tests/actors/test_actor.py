"""The tasks of one actor together, on a real Redis; the engine and the writer are small fakes."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from actors.actor import Actor, ActorLoopSettings
from actors.actor_broker import ActorBroker
from actors.leased_groups import Admission, GroupSource
from actors.rollout_writer import PromptTooLong
from actors.weight_follower import CanaryMismatch
from broker.connection import Retrying
from broker.feed import Feed
from broker.history import History, read_history
from broker.keys import EVALUATION_STAGE, Keys, stage_name
from broker.metrics import Control, Heartbeats, Metrics
from broker.records import Assignment, RolloutGroup, WeightAnnouncement
from broker.reports import ActorOutput, WeightSync
from broker.rollout_samples import RolloutSamples
from broker.weights import WeightBoard
from conf.schema import Sampling, WeightSettings
from tests.broker.broker_parts import BrokerParts
from tests.groups import rollout_group

CHECKSUMS = {"w": "1"}
CANCELLED = 2
"""Groups in flight at the stop: their last call may reach Redis without a line in the history."""
TRAINING = Sampling(0.8, 1.0, None, 16)
EVALUATION = Sampling(0.6, 0.95, 20, 32)
NOTHING = {"leased": 0, "reissue": 0, "stream": 0, "ring": 0, "taken": 0}


class FakeEngine:
    version = 0

    def __init__(self, events: list[str]) -> None:
        self.events = events
        self.dead = False
        self.sampled: set[tuple[str, Sampling]] = set()

    async def update(self, announcement: WeightAnnouncement, *, timeout_s: float) -> float:
        self.version = announcement.version
        self.events.append(f"version {self.version}")
        return 0.25

    async def checksums(self) -> dict[str, str]:
        return CHECKSUMS

    async def check(self) -> None:
        if self.dead:
            raise RuntimeError("the engine died")


class FakeWriter:
    """A group takes `group_s`; problem `long` is refused."""

    def __init__(self, engine: FakeEngine, group_s: float) -> None:
        self.engine, self.group_s = engine, group_s

    async def write(self, assignment: Assignment, sampling: Sampling) -> RolloutGroup:
        self.engine.sampled.add((assignment.problem_id, sampling))
        if assignment.problem_id == "long":
            raise PromptTooLong("long: prompt of 9 tokens")
        version = self.engine.version
        self.engine.events.append(f"begin {assignment.problem_id}")
        await asyncio.sleep(self.group_s)
        self.engine.events.append(f"end {assignment.problem_id}")
        return rollout_group(assignment.group_id, version=version, problem_id=assignment.problem_id)


class Scene:
    """One actor with its feeds."""

    def __init__(self, client: redis.Redis, run_name: str, folder: Path) -> None:
        keys = Keys(run_name)
        self.training = BrokerParts(client, keys)
        self.evaluations = BrokerParts(client, Keys(stage_name(run_name, EVALUATION_STAGE)))
        self.evaluations.feed.open(0)
        self.history = History(folder, "actor-0", "actor-0@1")
        self.folder, self.events = folder, list[str]()
        self.engine = FakeEngine(self.events)
        self.group_s = 0.01
        self.broker = ActorBroker(
            actor="actor-0",
            incarnation="actor-0@1",
            retry=Retrying(5.0),
            board=WeightBoard(client, keys),
            metrics=Metrics(client, keys),
            samples=RolloutSamples(client, keys),
            heartbeats=Heartbeats(client, keys),
            control=Control(client, keys),
            history=self.history,
        )

    def run(self, until: Callable[[], bool], problem: str = "p", **settings: Any) -> None:
        """Run the actor, and stop the run once `until()`."""
        asyncio.run(self._run(until, problem, settings))

    async def _run(self, until: Callable[[], bool], problem: str, settings: dict[str, Any]) -> None:
        engine: Any = self.engine
        writer: Any = FakeWriter(self.engine, self.group_s)
        loop = {
            "admission": Admission(batch_groups=2, max_lag=None, lease_s=60.0, high_water=99),
            "max_in_flight": 2,
            "evaluation_width": 2,
            "weights": WeightSettings(),
            "heartbeat_s": 0.02,
        }
        actor = Actor(
            ActorLoopSettings(**(loop | settings)),
            self.broker,
            engine=engine,
            writer=writer,
            decode=str,
            training=self._source(self.training.feed, problem, TRAINING),
            evaluations=self._source(self.evaluations.feed, "e", EVALUATION),
        )
        await asyncio.wait_for(asyncio.gather(actor.run(), self._stop(until)), timeout=30)

    def _source(self, feed: Feed, problem: str, sampling: Sampling) -> GroupSource:
        return GroupSource(feed, lambda n: Assignment(group_id=n, problem_id=problem, arm="guided"), sampling)

    async def _stop(self, until: Callable[[], bool]) -> None:
        while not await asyncio.to_thread(until):
            await asyncio.sleep(0.01)
        self.broker.control.stop("enough")

    def done(self) -> list[str]:
        """What the history tells of, in order."""
        self.history.close()
        (role,) = read_history(self.folder)
        return [line.event.what for line in role.lines]


@pytest.fixture
def scene(client: redis.Redis, run_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr("actors.weight_follower.FOLLOW_S", 0.1)
    return Scene(client, run_name, tmp_path)


def announcement(version: int, **fields: Any) -> WeightAnnouncement:
    return WeightAnnouncement(**({"version": version, "backend": "nccl", "checksums": CHECKSUMS} | fields))


def test_groups_are_published_until_the_stop_and_every_lease_is_returned(scene: Scene) -> None:
    scene.run(lambda: scene.training.balance().in_flight["stream"] >= 5)
    balance = scene.training.balance()
    assert balance.in_flight["stream"] >= 5
    assert balance.in_flight["leased"] == 0
    assert 0 <= balance.in_flight["stream"] - scene.done().count("publish") <= CANCELLED
    reports = scene.broker.metrics.read(ActorOutput)
    assert all(report.actor == "actor-0" for report in reports)
    assert 0 < sum(report.verdicts["correct"] for report in reports) <= balance.in_flight["stream"]
    assert len(scene.broker.samples.newest(9)) == 1
    assert "groups in flight" in scene.broker.heartbeats.status("actor-0")


def test_a_prompt_that_is_too_long_fails_its_group(scene: Scene) -> None:
    scene.run(lambda: len(scene.training.feed.failures()) >= 2, problem="long")
    assert set(scene.training.feed.failures().values()) == {"prompt_too_long"}
    assert 0 <= len(scene.training.feed.failures()) - scene.done().count("fail") <= CANCELLED


def test_an_actor_begins_with_the_newest_weights_and_follows_the_next(scene: Scene, tmp_path: Path) -> None:
    first = tmp_path / "weights-000003.safetensors"
    first.write_bytes(b"three")
    scene.broker.board.announce(announcement(3, backend="file", path=str(first)))

    def until() -> bool:
        scene.broker.board.announce(announcement(4))
        return scene.broker.board.held() == {"actor-0": 4}

    scene.run(until)
    assert scene.events[0] == "version 3"
    assert "version 4" in scene.events
    syncs = scene.broker.metrics.read(WeightSync)
    assert [(sync.version, sync.stall_ms) for sync in syncs] == [(3, 250.0), (4, 250.0)]
    assert scene.done().count("hold") == 3, "after each sync, and once at the start"


def test_a_broadcast_that_is_over_is_not_joined_at_start(scene: Scene) -> None:
    scene.broker.board.announce(announcement(3))
    scene.run(lambda: scene.broker.board.held() == {"actor-0": 0})
    assert "version 3" not in scene.events


def test_a_file_that_is_gone_without_newer_weights_is_an_error(scene: Scene, tmp_path: Path) -> None:
    scene.broker.board.announce(announcement(3, backend="file", path=str(tmp_path / "none")))
    with pytest.raises(FileNotFoundError, match="was announced but does not exist"):
        scene.run(lambda: False)


def test_weights_that_differ_from_the_learners_end_the_actor(scene: Scene) -> None:
    scene.group_s = 60.0

    def until() -> bool:
        if scene.events.count("begin p") == 2:
            scene.broker.board.announce(announcement(1, checksums={"w": "2"}))
        return False

    with pytest.raises(CanaryMismatch, match="version 1 w differs from the learner's, 1 parameters in all"):
        scene.run(until)
    assert scene.training.balance().in_flight == NOTHING | {"reissue": 2}
    assert scene.broker.board.held() == {"actor-0": 0}


def test_an_engine_that_dies_ends_the_actor_and_returns_its_leases(scene: Scene) -> None:
    scene.group_s = 60.0

    def until() -> bool:
        scene.engine.dead = scene.events.count("begin p") == 2
        return False

    with pytest.raises(RuntimeError, match="the engine died"):
        scene.run(until)
    assert scene.training.balance().in_flight == NOTHING | {"reissue": 2}


def test_evaluation_groups_under_way_are_written_by_one_version(scene: Scene) -> None:
    """Training groups go on through the sync; the newer version waits for the evaluation groups."""
    scene.group_s = 0.3
    scene.evaluations.feed.open(2)
    announced = False

    def until() -> bool:
        nonlocal announced
        if not announced and "begin e" in scene.events:
            announced = scene.broker.board.announce(announcement(1))
        return scene.broker.board.held() == {"actor-0": 1}

    scene.run(until)
    sync = scene.events.index("version 1")
    assert scene.events[:sync].count("begin e") == scene.events[:sync].count("end e") == 2
    assert scene.evaluations.balance().in_flight["stream"] == 2
    assert scene.engine.sampled == {("p", TRAINING), ("e", EVALUATION)}, "each with its own temperature and budget"
    assert scene.done().count("fail") == 0
