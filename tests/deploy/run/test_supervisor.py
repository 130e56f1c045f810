"""Supervision of fake roles, on a real Redis."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import redis

from broker.errors import BrokerUnreachable, UsageError
from broker.feed import Feed
from broker.keys import Keys
from broker.metrics import HealthBoard, Heartbeats
from broker.streams import RolloutStream
from broker.weights import WeightBoard
from conf.errors import ConfigError
from conf.load import load
from deploy.cluster.fleet import ManagedRole, RoleFailed, failure_domains
from deploy.run.supervisor import NoProgress, Supervisor
from deploy.store.run_state import RunState
from learner.engine_agreement import EngineDisagrees


class Diverged(Exception):
    final = True


class Role:
    """A role whose calls end when the test says so."""

    def __init__(self, name: str) -> None:
        self.name, self.killed = name, False
        self.begun: str | None = None
        """The incarnation under which it began to work."""
        self.starting, self.working = Call(), Call()
        self.start = SimpleNamespace(remote=lambda: self.starting)

    def run(self, incarnation: str) -> "Call":
        self.begun = incarnation
        return self.working


class Call:
    def __init__(self) -> None:
        self.ended = False
        self.error: Exception | None = None

    def end(self, error: Exception | None = None) -> None:
        self.ended, self.error = True, error


class Host:
    def done(self, call: Call) -> bool:
        return call.ended

    def result(self, call: Call, timeout_s: float | None = None) -> Any:
        if call.error:
            raise call.error

    def kill(self, handle: Role) -> None:
        handle.killed = True


class FakeRun:
    """A supervisor over two learner ranks and an actor."""

    def __init__(
        self,
        client: redis.Redis,
        keys: Keys,
        tmp_path: Path,
        *overrides: str,
        backend: Literal["file", "nccl"] = "file",
    ) -> None:
        config = load(None, [f"run.name={keys.prefix[6:-2]}", f"run.root={tmp_path}", *overrides])
        self.config = replace(config, weights=replace(config.weights, backend=backend))
        Feed(client, keys).open(None)
        RolloutStream(client, keys).open()
        self.client, self.keys = client, keys
        self.board = WeightBoard(client, keys)
        self.incarnations: dict[str, list[Role]] = {}
        self.admitted = 0
        self.ranks = [self._make_role(f"learner-{rank}") for rank in (0, 1)]
        self.actor = self._make_role("actor-0")
        domains = failure_domains(
            self.config.weights,
            actors=[self.actor],
            preprocessors=[],
            learners=self.ranks,
            admit=self._admit,
            reopen=self.board.reopen,
        )
        self.state = RunState(self.config, client, [])
        self.supervisor = Supervisor(
            self.config.deploy,
            domains,
            self.state,
            self.board,
            max_attempts=self.config.actors.max_attempts,
            batch_samples=self.config.learner.batch_samples,
            show=lambda state: None,
        )
        for role in (*self.ranks, self.actor):
            role.work_on(lambda handle, incarnation: handle.run(incarnation))

    def _make_role(self, name: str) -> ManagedRole:
        def spawn() -> Role:
            self.incarnations.setdefault(name, []).append(Role(name))
            return self.incarnations[name][-1]

        return ManagedRole(name, spawn=spawn, log_path="log", serves_weights=name == "actor-0", host=Host())

    def _admit(self) -> None:
        self.admitted += 1

    def role(self, name: str) -> Role:
        """The present incarnation of a role."""
        return self.incarnations[name][-1]

    def all_up(self) -> None:
        for name in self.incarnations:
            self.role(name).starting.end()
        self.supervisor.tick()

    def last_beat(self, name: str, ago_s: float) -> None:
        """The newest heartbeat of a role is so old."""
        seconds, _ = self.client.time()
        self.client.hset(self.keys.heartbeats, name, f"{round((seconds - ago_s) * 1000)} at work")

    def health(self) -> dict[str, str]:
        return HealthBoard(self.client, self.keys).all()


@pytest.fixture
def run(client: redis.Redis, keys: Keys, tmp_path: Path) -> FakeRun:
    return FakeRun(client, keys, tmp_path, "deploy.max_restarts=1")


def test_ranks_begin_when_all_are_up_and_the_incarnation_was_admitted(run: FakeRun) -> None:
    run.role("learner-0").starting.end()
    run.supervisor.tick()
    assert (run.role("learner-0").begun, run.admitted) == (None, 0)
    run.role("learner-1").starting.end()
    run.supervisor.tick()
    assert run.admitted == 1
    assert run.role("learner-0").begun == run.ranks[0].incarnation
    assert run.role("learner-1").begun == run.ranks[1].incarnation


def test_a_rank_that_dies_restarts_all_ranks(run: FakeRun) -> None:
    run.all_up()
    before = [rank.incarnation for rank in run.ranks]
    run.role("learner-1").working.end(RuntimeError("killed"))
    run.supervisor.tick()
    assert [len(run.incarnations[name]) for name in ("learner-0", "learner-1", "actor-0")] == [2, 2, 1]
    assert run.incarnations["learner-0"][0].killed
    run.all_up()
    assert run.admitted == 2
    assert [run.role(f"learner-{rank}").begun != before[rank] for rank in (0, 1)] == [True, True]
    assert run.state.restarts == 1
    assert run.state.notes == ["learner-1 died: killed (see log); restart 1"]


def test_the_only_engine_of_a_broadcast_takes_the_learner_with_it(
    client: redis.Redis, keys: Keys, tmp_path: Path
) -> None:
    """A new engine waits for the next broadcast, and the learner for its rollouts."""
    run = FakeRun(client, keys, tmp_path, backend="nccl")
    run.all_up()
    run.client.hset(run.keys.weights_board, "version", 7)
    run.board.hold("actor-0", 7)
    run.role("actor-0").working.end(RuntimeError("killed"))
    run.supervisor.tick()
    assert [len(run.incarnations[name]) for name in ("learner-0", "learner-1", "actor-0")] == [2, 2, 2]
    run.all_up()
    assert (run.board.version(), run.admitted) == (0, 2), "the checkpoint's version may be announced"
    run.board.hold("actor-0", 0)
    run.supervisor.tick()
    assert run.health() == dict.fromkeys(("learner-0", "learner-1", "actor-0"), "healthy")


def test_several_engines_of_a_broadcast_fail_alone(run: FakeRun) -> None:
    weights = replace(run.config.weights, backend="nccl")
    another = run._make_role("actor-1")
    domains = failure_domains(
        weights, actors=[run.actor, another], preprocessors=[], learners=run.ranks, admit=list, reopen=list
    )
    assert [domain.roles for domain in domains] == [(run.actor,), (another,), tuple(run.ranks)]


def test_restarts_are_bounded(run: FakeRun) -> None:
    for _ in range(2):
        run.all_up()
        run.role("learner-0").working.end(RuntimeError("killed"))
        if run.ranks[0].restarts < 1:
            run.supervisor.tick()
    with pytest.raises(RoleFailed, match=r"deploy\.max_restarts=1 is used up; continue with run\.resume=true"):
        run.supervisor.tick()


def test_an_error_that_a_restart_would_repeat_ends_the_run_at_once(run: FakeRun) -> None:
    run.all_up()
    run.role("learner-0").working.end(Diverged("the gradient was not finite in 5 steps"))
    with pytest.raises(RoleFailed, match="not finite in 5 steps"):
        run.supervisor.tick()
    assert len(run.incarnations["learner-0"]) == 1


class FromRay(Exception):
    """What Ray raises: the error of the role is inside, and the text is a traceback."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(f"Traceback of a worker\n  File ...\n{type(cause).__name__}: {cause}")
        self.cause = cause
        self.final = getattr(cause, "final", False)


@pytest.mark.parametrize("kind", [UsageError, ConfigError])
def test_refused_input_is_one_line_without_a_restart_and_counts_as_wrong_input(
    run: FakeRun, kind: type[Exception]
) -> None:
    run.all_up()
    run.role("actor-0").working.end(FromRay(kind("model.path=x has no tokenizer; add one")))
    with pytest.raises(UsageError) as failure:
        run.supervisor.tick()
    assert str(failure.value) == "actor-0: model.path=x has no tokenizer; add one (see log)"
    assert (len(run.incarnations["actor-0"]), run.state.restarts) == (1, 0)
    assert run.state.notes == [str(failure.value)]


def test_the_rank_whose_error_is_final_decides_for_the_others(run: FakeRun) -> None:
    run.all_up()
    run.role("learner-0").working.end(RuntimeError("connection closed by peer"))
    run.role("learner-1").working.end(FromRay(EngineDisagrees("step 1: learner and engine disagree")))
    with pytest.raises(RoleFailed, match="learner-1 died: step 1: learner and engine disagree") as failure:
        run.supervisor.tick()
    assert not isinstance(failure.value, UsageError)
    assert len(run.incarnations["learner-0"]) == 1


def test_a_server_that_does_not_answer_now_may_answer_a_restarted_role(run: FakeRun) -> None:
    run.all_up()
    run.role("learner-0").working.end(FromRay(BrokerUnreachable("broker.url=x: no answer within 5 s")))
    run.supervisor.tick()
    assert len(run.incarnations["learner-0"]) == 2


def test_an_engine_is_trusted_once_it_holds_what_was_published_when_it_came_up(run: FakeRun) -> None:
    run.client.hset(run.keys.weights_board, "version", 4)
    run.all_up()
    assert run.health() == {"actor-0": "stale", "learner-0": "healthy", "learner-1": "healthy"}
    run.board.hold("actor-0", 3)
    run.supervisor.tick()
    assert run.health()["actor-0"] == "stale"
    run.client.hset(run.keys.weights_board, "version", 9)  # the learner does not wait for it
    run.board.hold("actor-0", 5)
    run.supervisor.tick()
    assert run.health()["actor-0"] == "healthy"


def test_what_a_dead_engine_held_is_not_counted_for_its_successor(run: FakeRun) -> None:
    run.all_up()
    run.board.hold("actor-0", 0)
    run.supervisor.tick()
    assert run.health()["actor-0"] == "healthy"
    run.role("actor-0").working.end(RuntimeError("killed"))
    run.supervisor.tick()
    assert (run.health()["actor-0"], run.board.held()) == ("restarting", {})
    run.all_up()
    assert run.health()["actor-0"] == "stale"


def test_a_role_that_is_late_is_suspected_and_cleared_by_its_next_beat(run: FakeRun) -> None:
    run.all_up()
    run.ranks[0]._since -= 40.0
    run.last_beat("learner-0", 30.0)
    run.supervisor.tick()
    assert run.health()["learner-0"] == "suspect"
    Heartbeats(run.client, run.keys).beat("learner-0", "training step 1")
    run.supervisor.tick()
    assert run.health()["learner-0"] == "healthy"


def test_a_role_that_is_silent_for_too_long_is_killed_and_replaced(run: FakeRun) -> None:
    run.all_up()
    run.ranks[1]._since -= 70.0
    run.last_beat("learner-1", 61.0)
    run.supervisor.tick()
    run.supervisor.tick()
    assert [len(run.incarnations[name]) for name in ("learner-0", "learner-1", "actor-0")] == [2, 2, 1]
    assert "sent no heartbeat for deploy.dead_after_s=60 s" in run.state.notes[0]


@pytest.mark.parametrize("earlier", [False, True], ids=["new", "restarted"])
def test_a_role_that_imports_for_long_is_not_silent(run: FakeRun, earlier: bool) -> None:
    """Until its first heartbeat `start_timeout_s` holds; one of an earlier incarnation is none of its own."""
    run.all_up()
    if earlier:
        run.last_beat("learner-1", 900.0)
    run.ranks[1]._since -= 400.0
    for _ in range(2):
        run.supervisor.tick()
    assert len(run.incarnations["learner-1"]) == 1
    assert run.health()["learner-1"] == "healthy"
    run.ranks[1]._since -= 201.0
    run.supervisor.tick()
    assert len(run.incarnations["learner-1"]) == 2
    assert "sent no first heartbeat for deploy.start_timeout_s=600 s" in run.state.notes[0]


def test_while_the_run_winds_down_only_the_learner_is_replaced(run: FakeRun) -> None:
    run.all_up()
    run.role("actor-0").working.end(RuntimeError("killed"))
    run.role("learner-0").working.end(RuntimeError("killed in its last save"))
    first = [run.role("learner-0"), run.role("learner-1")]

    class Watching(Supervisor):
        """Lets the new incarnation come up and finish."""

        def _refresh(self) -> None:
            for name in ("learner-0", "learner-1"):
                if run.role(name) not in first:
                    run.role(name).starting.end()
                    run.role(name).working.ended = run.role(name).begun is not None
            super()._refresh()

    run.supervisor.__class__ = Watching
    run.supervisor.wind_down()
    assert [len(run.incarnations[name]) for name in ("learner-0", "learner-1", "actor-0")] == [2, 2, 1]
    assert [rank.state for rank in run.ranks] == ["finished", "finished"]
    assert any("it is not restarted because the run is ending" in note for note in run.state.notes)


def test_a_learner_that_trains_its_counted_steps_again_makes_progress(
    client: redis.Redis, keys: Keys, tmp_path: Path
) -> None:
    run = FakeRun(client, keys, tmp_path, "deploy.no_progress_s=1")
    run.all_up()
    beats = Heartbeats(client, keys)
    for step in range(3):
        run.supervisor._progress_at -= 2.0
        beats.beat("learner-0", f"training step {step}")
        run.supervisor.tick()
    run.supervisor._progress_at -= 2.0
    with pytest.raises(NoProgress):
        run.supervisor.tick()
