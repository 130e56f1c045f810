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
from actors.readable_rollout import sample_values
from actors.rollout_writer import PromptTooLong
from actors.weight_follower import CanaryMismatch
from broker.connection import Retrying
from broker.feed import Feed
from broker.history import History, read_history
from broker.keys import EVALUATION_STAGE, Keys, stage_name
from broker.metrics import Control, Heartbeats, Metrics
from broker.records import Assignment, Rendezvous, RolloutGroup, WeightAnnouncement
from broker.reports import ActorOutput, RoleTimes, WeightSync
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
        self.dead = self.hangs_in_update = False
        self.sampled: set[tuple[str, Sampling]] = set()

    async def update(self, announcement: WeightAnnouncement, *, timeout_s: float) -> float:
        if self.hangs_in_update:
            self.dead = True
            await asyncio.sleep(timeout_s)
        self.version = announcement.version
        self.events.append(f"version {self.version}")
        return 0.25

    async def init_transfer(self, init_info: object) -> None:
        self.events.append("joined")

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
            readable=lambda group: sample_values(group, str, "1"),
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
        if "version 3" in scene.events:
            scene.broker.board.announce(announcement(4))
        return scene.broker.board.held() == {"actor-0": 4}

    scene.run(until)
    assert scene.events[0] == "version 3"
    assert "version 4" in scene.events
    syncs = scene.broker.metrics.read(WeightSync)
    assert [(sync.version, sync.stall_ms) for sync in syncs] == [(3, 250.0), (4, 250.0)]
    assert scene.done().count("hold") == 3, "after each sync, and once at the start"


def test_an_actor_reports_what_its_engine_waits_for(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound of one batch of one group: the second of two places for groups never gets one, later neither does."""
    monkeypatch.setattr("broker.role_clock.REPORT_EVERY_S", 0.1)
    scene.group_s = 0.3
    scene.run(
        lambda: len(scene.broker.metrics.read(RoleTimes)) >= 6,
        admission=Admission(batch_groups=1, max_lag=0, lease_s=60.0, high_water=99),
    )
    reports = scene.broker.metrics.read(RoleTimes)
    assert all(report.role == "actor-0" and report.memory_mib > 1 for report in reports)
    assert all(report.wall_s == pytest.approx(sum(report.seconds.values()), abs=1e-5) for report in reports)
    seconds = {phase: sum(report.seconds.get(phase, 0.0) for report in reports) for phase in ("work", "wait_lag")}
    assert 0 < seconds["work"] < seconds["wait_lag"]
    assert reports[-1].seconds.keys() == {"wait_lag"}


def test_a_broadcast_that_is_over_is_not_joined_at_start(scene: Scene) -> None:
    scene.broker.board.announce(announcement(3))
    scene.run(lambda: scene.broker.board.held() == {"actor-0": 0})
    assert "version 3" not in scene.events


def file_of(version: int, folder: Path) -> WeightAnnouncement:
    path = folder / f"weights-{version}.safetensors"
    path.write_bytes(b"weights")
    return announcement(version, backend="file", path=str(path))


def test_after_a_resume_nothing_is_sampled_before_the_learner_has_published(scene: Scene, tmp_path: Path) -> None:
    """Else the learner would train what the initial weights wrote."""
    scene.broker.board.await_learner()
    waited = 0

    def until() -> bool:
        nonlocal waited
        if scene.broker.heartbeats.status("actor-0"):
            waited += 1
        if waited == 20:
            assert scene.events == []
            scene.broker.board.announce(file_of(7, tmp_path))
            scene.broker.board.learner_ready()
        return "begin p" in scene.events

    scene.run(until)
    assert scene.events[:2] == ["version 7", "begin p"]
    assert scene.done()[:1] == ["hold"], "of the learner's version only"


def test_a_learner_that_resumes_without_new_weights_starts_the_engines(scene: Scene) -> None:
    scene.broker.board.await_learner()

    def until() -> bool:
        scene.broker.board.learner_ready()
        return "begin p" in scene.events

    scene.run(until)
    assert scene.broker.board.held() == {"actor-0": 0}


def test_a_run_that_stops_before_the_learner_has_published_samples_nothing(scene: Scene) -> None:
    scene.broker.board.await_learner()
    scene.run(lambda: scene.broker.heartbeats.status("actor-0") != "")
    assert scene.events == []


def test_a_new_engine_samples_nothing_until_it_has_joined_a_broadcast(scene: Scene) -> None:
    """It records the version it holds, upon which the learner includes it in the next broadcast."""
    scene.broker.board.announce(announcement(3))

    def until() -> bool:
        if scene.broker.board.held() == {"actor-0": 0} and scene.broker.board.version() == 3:
            assert scene.events == []
            scene.broker.board.announce(announcement(4))  # it began before
            group = Rendezvous(
                master_address="h", master_port=1, world_size=2, rank_offsets={"actor-0": 1}, packed=True
            )
            scene.broker.board.announce(announcement(5, rendezvous=group))
        return "begin p" in scene.events

    scene.run(until)
    assert scene.events[:3] == ["joined", "version 5", "begin p"]


def test_an_engine_that_dies_in_a_sync_ends_the_actor_at_once(scene: Scene) -> None:
    """The sync itself would wait for `weights.timeout_s`."""
    scene.group_s = 60.0
    scene.engine.hangs_in_update = True

    def until() -> bool:
        if scene.events.count("begin p") == 2:
            scene.broker.board.announce(announcement(1))
        return False

    with pytest.raises(RuntimeError, match="the engine died"):
        scene.run(until)
    assert scene.training.balance().in_flight == NOTHING | {"reissue": 2}


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
