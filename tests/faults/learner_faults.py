"""Faults of the learner."""

import random
import signal
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

from broker.history import read_history
from broker.metrics import Metrics
from broker.records import RolloutGroup, TrainGroup, decode, encode, float32_bytes
from broker.reports import LearnerStep
from learner.manifest import find_newest_valid
from tests.faults.outcome import Outcome
from tests.faults.scene import STEP_GROUPS, Scene, SimulatedActor
from tests.learner.tiny import random_groups, save_tiny
from tests.waiting import wait_until

STEPS = 8
TRACE = ("loss", "grad_norm", "ess", "entropy", "logprob_rms", "lag_histogram")
KILLS = (
    # failpoint, most passes of an incarnation before the kill: steps must be left for the next one
    ("learner.before_optimizer", 3),
    ("learner.after_optimizer", 3),
    ("learner.after_commit", 2),
    ("learner.mid_publish", 2),
)


def learner_killed(root: Path, seed: int) -> Outcome:
    """F5: killed at four points of a step and resumed each time: the final weights are those of an undisturbed run."""
    outcome = Outcome()
    rng = random.Random(seed)
    golden, golden_trace = _undisturbed(root, seed)
    with Scene(root, f"run.max_steps={STEPS}") as scene:
        fill(scene, seed)
        kills = [(point, rng.randint(1, most)) for point, most in rng.sample(KILLS, len(KILLS))]
        learner = scene.start_learner(root / "model", _kill(kills[0]))
        for number, kill in enumerate(kills, start=1):
            code = learner.wait()[0]
            killed_at = time.monotonic()
            outcome.require(code == -signal.SIGKILL, f"{kill} was not reached: {learner.output()}")
            outcome.injected += 1
            learner = scene.start_learner(root / "model", _kill(kills[number]) if number < len(kills) else "")
            wait_until(lambda number=number: incarnations(scene) > number, "the learner back at its checkpoint", 120)
            outcome.recovery_s.append(time.monotonic() - killed_at)
        learner.succeed()
        outcome.require(final_weights(scene) == golden, "the final weights are not those of the undisturbed run")
        trace = loss_trace(scene)
        differing = [step for step, values in trace.items() if values != golden_trace[step]]
        outcome.require(not differing, f"steps {differing} reported other numbers than in the undisturbed run")
        outcome.require(len(trace) >= STEPS - len(kills), f"only steps {sorted(trace)} were reported")
        scene.require_audit(outcome)
    return outcome


def _kill(kill: tuple[str, int]) -> str:
    return f"{kill[0]}:kill@{kill[1]}"


def incarnations(scene: Scene) -> int:
    """Number of incarnations of the learner, by its history."""
    histories = [history for history in read_history(scene.folder.path) if history.role == "learner-0"]
    return sum(line.event.what == "start" for history in histories for line in history.lines)


def _undisturbed(root: Path, seed: int) -> tuple[str, dict[int, list[str]]]:
    """(digest of the final weights, loss trace) of an undisturbed run."""
    save_tiny(root / "model")
    with Scene(root, f"run.max_steps={STEPS}", name="golden") as scene:
        fill(scene, seed)
        scene.start_learner(root / "model").succeed()
        return final_weights(scene), loss_trace(scene)


def not_finite(root: Path, seed: int) -> Outcome:
    """F19: a step whose loss overflows changes no weight and is counted; training continues."""
    outcome = Outcome()
    save_tiny(root / "model")
    poisoned = random.Random(seed).randint(2, 3)
    with Scene(root, "run.max_steps=4") as scene:
        fill(scene, seed, STEP_GROUPS * 4)
        _overflow(scene, scene.client.zrange(scene.keys.ring, 0, -1)[STEP_GROUPS * (poisoned - 1)])
        scene.start_learner(root / "model").succeed()
        reports = Metrics(scene.client, scene.keys).read(LearnerStep)
        applied = {report.step: report.applied for report in reports}
        outcome.require(applied == {s: s != poisoned for s in range(1, 5)}, f"steps applied: {applied}")
        outcome.injected = sum(not done for done in applied.values())
        weights = [load_file(scene.folder.path / f"weights/weights-{v:06d}.safetensors") for v in range(5)]
        for step in range(1, 5):
            same = all(torch.equal(weights[step][name], weights[step - 1][name]) for name in weights[0])
            outcome.require(same == (step == poisoned), f"step {step} {'kept' if same else 'changed'} the weights")
        scene.require_audit(outcome)
    return outcome


def _overflow(scene: Scene, group_id: bytes) -> None:
    """Replace the advantages of a group in the ring by values that make the gradient overflow."""
    group = decode(scene.client.hget(scene.keys.payload, group_id), TrainGroup)
    huge = float32_bytes([3e38] * len(group.rollout_group.rollouts))
    poisoned = TrainGroup(rollout_group=group.rollout_group, advantages=huge)
    scene.client.hset(scene.keys.payload, group_id, encode(poisoned))


def fill(scene: Scene, seed: int, num_groups: int = STEPS * STEP_GROUPS) -> None:
    """Fill the ring with the groups of a whole run, a function of the seed."""

    def write(group_id: int) -> RolloutGroup:
        return random_groups(1, seed=1000 * seed + group_id, first_group_id=group_id)[0].rollout_group

    actor = SimulatedActor(scene, write)
    while scene.client.zcard(scene.keys.ring) < num_groups:
        actor.publish(4)
        scene.preprocess_all()


def final_weights(scene: Scene) -> str:
    """SHA-256 of the weights in the newest checkpoint."""
    newest = find_newest_valid(scene.folder.checkpoints)
    assert newest is not None
    return newest.manifest["files"]["model.safetensors"]["sha256"]


def loss_trace(scene: Scene) -> dict[int, list[str]]:
    """Step -> the metrics that the learner reported, exactly."""
    reports = Metrics(scene.client, scene.keys).read(LearnerStep)
    return {report.step: [repr(getattr(report, field)) for field in TRACE] for report in reports}
