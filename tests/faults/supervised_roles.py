"""The roles of a scene as processes, under the real supervisor."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from broker import failpoints
from broker.history import Event, read_history
from broker.metrics import Control
from deploy.cluster.fleet import Domain, ManagedRole, separate_domains
from deploy.run.supervisor import Supervisor
from deploy.store.run_state import RunState
from tests.faults.local_roles import LocalHost, LocalRole, RoleKind
from tests.faults.scene import TIMEOUT_S, Scene, retry
from tests.forking import import_everything

RUN_S = 200.0


class SupervisedRoles:
    """Actors with simulated engines, and ranks of the real learner."""

    def __init__(
        self, scene: Scene, base: Path, *, actors: int = 0, ranks: int = 0, fails: dict[str, str] | None = None
    ) -> None:
        """`base`: the folder of the model that training starts from. `fails`: role -> its failpoints."""
        self.scene, self.host = scene, LocalHost()
        self._base, self._fails = base, fails or {}
        self.actors = [self._make_role("actor", f"actor-{n}") for n in range(actors)]
        self.ranks = [self._make_role("learner", f"learner-{n}") for n in range(ranks)]
        self._markers = scene.folder.path / failpoints.FOLDER
        self._master = ("", 0)
        self.reason: str | None = None
        """Why the run ended."""
        self.health: dict[str, list[str]] = {}
        """Role -> its health, one entry for each change."""

    def _make_role(self, kind: RoleKind, name: str) -> ManagedRole:
        spawn = partial(LocalRole, kind, name, self.scene.folder.path, self._fails.get(name, ""))
        log = str(self.scene.folder.path / "processes" / f"{name}.log")
        return ManagedRole(name, spawn=spawn, log_path=log, serves_weights=kind == "actor", host=self.host)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the roles while the body runs. Afterwards the run ends by itself or is stopped, and all processes end."""
        raised: list[BaseException] = []
        import_everything()

        def supervise() -> None:
            try:
                self.reason = self._supervisor().run()
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=supervise, daemon=True)
        thread.start()
        try:
            yield
            if not self.ranks:
                self.stop()  # without a learner there is no last step
            thread.join(RUN_S)
        finally:
            self.stop()
            thread.join(TIMEOUT_S)
            self.host.cut_off.clear()
            for lost in self.host.lost:
                self.host.kill(lost)
            for role in (*self.actors, *self.ranks):
                role.kill()
        if raised:
            raise raised[0]
        assert not thread.is_alive(), "the supervisor did not end"

    def _supervisor(self) -> Supervisor:
        scene = self.scene
        domains = separate_domains(self.actors)
        for actor in self.actors:
            actor.work_on(self._act)
        if self.ranks:
            domains.append(Domain(self.ranks, before_work=self._admit, needed_to_finish=True))
            for number, rank in enumerate(self.ranks):
                rank.work_on(partial(self._learn, number))
        state = RunState(scene.config, scene.client, [])
        return Supervisor(
            scene.config.deploy,
            domains,
            state,
            scene.board,
            max_attempts=scene.config.actors.max_attempts,
            batch_samples=scene.config.learner.batch_samples,
            show=self._record_health,
        )

    def _record_health(self, state: RunState) -> None:
        for role, health in state.health.all().items():
            changes = self.health.setdefault(role, [])
            if changes[-1:] != [health]:
                changes.append(health)

    def _act(self, handle: LocalRole, incarnation: str) -> Any:
        base = str(self._base / "model.safetensors")
        return handle.run(**self._common("actor"), name=handle.name, incarnation=incarnation, base=base)

    def _admit(self) -> None:
        self._master = self.ranks[0].ask(lambda handle: handle.address.remote(), TIMEOUT_S)
        self.scene.ring.admit(self.ranks[0].incarnation)

    def _learn(self, rank: int, handle: LocalRole, incarnation: str) -> Any:
        environment = {
            "RANK": str(rank),
            "LOCAL_RANK": "0",
            "WORLD_SIZE": str(len(self.ranks)),
            "MASTER_ADDR": self._master[0],
            "MASTER_PORT": str(self._master[1]),
        }
        return handle.run(
            **self._common("learner"),
            name=self.scene.config.run.name,
            settings=str(self.scene.folder.settings),
            model_path=str(self._base),
            incarnation=incarnation,
            environment=environment,
        )

    def _common(self, kind: RoleKind) -> dict[str, str]:
        return {"redis_url": self.scene.server.url_of(kind), "folder": str(self.scene.folder.path)}

    def stop(self) -> None:
        """Set the stop flag of the run."""
        retry(lambda: Control(self.scene.client, self.scene.keys).stop("the scene ends"))

    def failed_at(self) -> list[float]:
        """The times at which failpoints were reached, unix seconds, ascending."""
        return sorted(marker.stat().st_mtime for marker in self._markers.glob("*")) if self._markers.exists() else []

    def recoveries_s(self, role: str, event: str, more: Sequence[float] = ()) -> list[float]:
        """Seconds from each failpoint, and each time in `more`, to the first `event` of the role's next incarnation."""
        incarnations: dict[str, list[Event]] = {}
        for history in read_history(self.scene.folder.path):
            for line in history.lines if history.role == role else ():
                incarnations.setdefault(line.event.incarnation, []).append(line.event)
        firsts = [
            next((entry.at for entry in incarnation if entry.what == event), None)
            for incarnation in incarnations.values()
        ]
        return [
            min((first - failed for first in firsts if first is not None and first > failed), default=float("inf"))
            for failed in (*self.failed_at(), *more)
        ]

    def wait_for_failures(self, number: int) -> None:
        deadline = time.monotonic() + RUN_S
        while len(self.failed_at()) < number:
            assert time.monotonic() < deadline, f"{len(self.failed_at())} of {number} failpoints were reached"
            time.sleep(0.02)
