"""Faults of actors: real actor loops with simulated engines, under the real supervisor."""

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

from broker.history import read_history
from broker.records import TrainGroup
from broker.weights import WeightBoard
from deploy.cluster.fleet import ManagedRole
from learner.file_publisher import FilePublisher
from tests.faults.local_roles import LocalRole
from tests.faults.outcome import Outcome
from tests.faults.scene import Scene, SimulatedLearner
from tests.faults.simulated_engine import version_mismatches
from tests.faults.supervised_roles import SupervisedRoles
from tests.waiting import wait_until

POINTS = ("actor.claimed", "actor.before_publish", "actor.after_publish", "actor.mid_update")
RANDOM_KILLS = 3
QUICK = ("actors.max_num_seqs=8", "deploy.max_restarts=50", "actors.max_attempts=50", "actors.lease_s=5")
PAUSE_S = 0.1
"""Pause of the simulated learner when the ring holds no batch."""


class PublishingLearner(SimulatedLearner):
    """Publishes new weights after each step: two tensors filled with the policy version."""

    def __init__(self, scene: Scene, base: Path, look: Callable[[list[TrainGroup]], None]) -> None:
        super().__init__(scene, look=look)
        self._publisher = FilePublisher(weights_folder(scene), WeightBoard(scene.client, scene.keys), keep=1000)
        base.mkdir(parents=True)
        save_file(_weights(0), base / "model.safetensors")
        self._publish(0)

    def train(self) -> bool:
        trained = super().train()
        if trained:
            self._publish(self.step)
        return trained

    def train_until(self, condition: Callable[[], bool], what: str) -> None:
        def train() -> bool:
            if not self.train():
                time.sleep(PAUSE_S)
            return condition()

        wait_until(train, what)

    def _publish(self, version: int) -> None:
        self._history.add("announce", version=version)
        self._publisher.publish(version, _weights(version).items())


def _weights(version: int) -> dict[str, torch.Tensor]:
    return {"first": torch.full((4,), float(version)), "last": torch.full((4,), float(version))}


def weights_folder(scene: Scene) -> Path:
    return scene.folder.path / "weights"


def actor_killed(root: Path, seed: int) -> Outcome:
    """F1: an actor is killed in every phase and at random moments: each group ends once, and every token was written by
    the policy version it is attributed to."""
    outcome = Outcome()
    rng = random.Random(seed)
    kills = ",".join(f"{point}:kill@{rng.randint(1, 3)}" for point in POINTS)
    with Scene(root, *QUICK) as scene:
        learner = PublishingLearner(scene, root / "base", _version_check(outcome, root, scene))
        roles = SupervisedRoles(scene, root / "base", actors=1, fails={"actor-0": kills})
        (actor,) = roles.actors
        with scene.preprocessing(), roles.running():
            learner.train_until(lambda: len(roles.failed_at()) == len(POINTS), "a kill at every failpoint")
            random_kills = []
            for number in range(RANDOM_KILLS):
                # The health alone may still be that of an incarnation whose death is not noticed yet.
                learner.train_until(lambda number=number: _back(actor, len(POINTS) + number), "a healthy actor")
                _train_for(learner, rng.uniform(0.0, 0.5))
                random_kills.append(_kill(actor.handle))
            learner.train_until(lambda: _back(actor, len(POINTS) + RANDOM_KILLS), "the actor after all kills")
            step = learner.step
            learner.train_until(lambda: learner.step > step + 2, "steps after all kills")
        outcome.injected = len(roles.failed_at()) + RANDOM_KILLS
        outcome.recovery_s = roles.recoveries_s("actor-0", "hold", random_kills)
        outcome.require(actor.restarts == outcome.injected, f"{actor.restarts} restarts, {outcome.injected} kills")
        _require_synced_first(scene, outcome)
        scene.require_audit(outcome)
    return outcome


def actor_hangs(root: Path, seed: int) -> Outcome:
    """F8: one of two actors stops in the middle of a weight update, and later dies in one: the other continues, and the
    restarted one is healthy only once it holds new weights."""
    outcome = Outcome()
    rng = random.Random(seed)
    fails = f"actor.mid_update:stop@{rng.randint(1, 3)},actor.mid_update:kill@4"
    with Scene(root, *QUICK, "actors.num_actors=2", "deploy.dead_after_s=2") as scene:
        learner = PublishingLearner(scene, root / "base", _version_check(outcome, root, scene))
        roles = SupervisedRoles(scene, root / "base", actors=2, fails={"actor-0": fails})
        hung, other = roles.actors
        with scene.preprocessing(), roles.running():
            learner.train_until(lambda: bool(roles.failed_at()), "a stop in an update")
            step = learner.step
            learner.train_until(lambda: hung.restarts == 1, "the replacement of the actor that hangs")
            outcome.require(learner.step > step, "nothing was trained while one actor of two hung")
            learner.train_until(lambda: hung.restarts == 2 and hung.health == "healthy", "the actor after its death")
        outcome.injected = len(roles.failed_at())
        outcome.recovery_s = roles.recoveries_s("actor-0", "hold")
        outcome.require(other.restarts == 0, f"the other actor was restarted {other.restarts} times")
        changes = " ".join(roles.health["actor-0"])
        outcome.require("healthy suspect" in changes and "stale healthy" in changes, f"health of actor-0: {changes}")
        _require_synced_first(scene, outcome)
        scene.require_audit(outcome)
    return outcome


def _version_check(outcome: Outcome, root: Path, scene: Scene) -> Callable[[list[TrainGroup]], None]:
    """A check of every batch: its tokens were written by the policy versions they are attributed to."""

    def look(batch: list[TrainGroup]) -> None:
        groups = [group.rollout_group for group in batch]
        outcome.violations += version_mismatches(groups, root / "base" / "model.safetensors", weights_folder(scene))

    return look


def _back(actor: ManagedRole, restarts: int) -> bool:
    """Whether it was restarted that often and is healthy."""
    return actor.restarts == restarts and actor.health == "healthy"


def _train_for(learner: PublishingLearner, seconds: float) -> None:
    end = time.monotonic() + seconds
    learner.train_until(lambda: time.monotonic() > end, "a moment")


def _kill(role: LocalRole) -> float:
    """SIGKILL. Returns when, unix seconds."""
    role.signal(signal.SIGKILL)
    role.process.join()
    return time.time()


def _require_synced_first(scene: Scene, outcome: Outcome) -> None:
    """Require that no incarnation of an actor publishes before it holds weights."""
    for history in read_history(scene.folder.path):
        incarnations: dict[str, list[str]] = {}
        for line in history.lines if history.role.startswith("actor") else ():
            incarnations.setdefault(line.event.incarnation, []).append(line.event.what)
        for incarnation, events in incarnations.items():
            held = events.index("hold") if "hold" in events else len(events)
            outcome.require("publish" not in events[:held], f"{incarnation} published before it held any weights")
