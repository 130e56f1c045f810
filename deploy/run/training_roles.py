"""The roles of a training run: actors, preprocessors and the ranks of the learner."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from broker.records import Problem
from broker.ring import Ring
from broker.weights import WeightBoard
from deploy.cluster.fleet import Domain, ManagedRole, failure_domains
from deploy.cluster.learner_ranks import Address, LearnerRanks
from deploy.cluster.learner_role import LearnerRole
from deploy.cluster.placement import Demand, RoleKind, demands
from deploy.cluster.preprocess_role import PreprocessRole
from deploy.run.session import Session, close_engines, make_actors, make_role


class TrainingRoles:
    """Creates the roles, starts their work and groups them into failure domains."""

    def __init__(self, session: Session, model_path: Path) -> None:
        """`model_path`: the folder of the model that training starts from. No role is started yet."""
        by_kind: dict[RoleKind, list[Demand]] = {"actor": [], "preprocess": [], "learner": []}
        for demand in demands(session.config):
            by_kind[demand.kind].append(demand)
        self._session = session
        self._model_path = model_path
        self.actors = make_actors(session, model_path, by_kind["actor"])
        self.preprocessors = [
            make_role(session, PreprocessRole, demand, model_path, model_path) for demand in by_kind["preprocess"]
        ]
        self.learner = LearnerRanks(
            [make_role(session, LearnerRole, demand, model_path) for demand in by_kind["learner"]]
        )

    @property
    def _all(self) -> list[ManagedRole]:
        return [*self.actors, *self.preprocessors, *self.learner.roles]

    def start(self) -> str:
        """Start all roles at the same time; the learner checks the model while the engines load it.

        Returns the result of the check once all are up. Raises RoleFailed; UsageError when a node does not have what a
        role needs; RoleRefused when the learner would train another policy than the model's.
        """
        timeout_s = self._session.config.deploy.start_timeout_s
        self._session.handshake.greet(self._all, timeout_s)
        for role in self._all:
            role.start()
        self.learner.first.wait_started(timeout_s)
        result = self.learner.check_model(self._model_path, timeout_s)
        for role in self._all:
            role.wait_started(timeout_s)
        self._session.started.set()
        return result

    def work(self, problems: Sequence[Problem]) -> None:
        """Start the work of every role, which lasts until the run stops. `problems` are those the actors sample."""
        path = self._session.folder.path
        for actor in self.actors:
            actor.work_on(lambda handle, incarnation: handle.run.remote(problems, incarnation, path))
        for preprocessor in self.preprocessors:
            preprocessor.work_on(lambda handle, incarnation: handle.run.remote(incarnation, path))
        self._admit_learner()
        self.learner.work_on(self._learn)

    def domains(self) -> list[Domain]:
        """The roles, grouped by what fails together."""
        return failure_domains(
            self._session.config.weights,
            actors=self.actors,
            preprocessors=self.preprocessors,
            learners=self.learner.roles,
            admit=self._admit_learner,
            reopen=self._reopen_board,
        )

    def _reopen_board(self) -> None:
        """Remove all announcements: engines and learner begin anew, and the engines wait for the learner's weights."""
        board = WeightBoard(self._session.client, self._session.keys)
        board.reopen()
        board.await_learner()

    def close(self) -> None:
        """End the processes of all roles."""
        close_engines(self.actors)
        for role in (*self.preprocessors, *self.learner.roles):
            role.kill()

    def _learn(self, handle: Any, rank: int, address: Address, incarnation: str) -> Any:
        return handle.run.remote(rank, address, self._session.folder.path, self._model_path, incarnation)

    def _admit_learner(self) -> None:
        """Admit a new incarnation of the learner: from here on the ring refuses writes of earlier ones."""
        config = self._session.config
        self.learner.choose_address(config.deploy.start_timeout_s)
        ring = Ring(self._session.client, self._session.keys, config.broker.ring.capacity)
        ring.admit(self.learner.first.incarnation)
