"""Faults of the learner's ranks under the real supervisor."""

import random
import signal
import time
from pathlib import Path

from broker.balance import read_balance
from broker.records import RolloutGroup, TrainGroup, decode
from learner.manifest import find_newest_valid
from tests.faults.learner_faults import fill, final_weights
from tests.faults.local_roles import LocalRole
from tests.faults.outcome import Outcome
from tests.faults.scene import STEP_GROUPS, TIMEOUT_S, Scene
from tests.faults.simulated_engine import version_mismatches
from tests.faults.supervised_roles import SupervisedRoles
from tests.learner.tiny import save_tiny
from tests.waiting import wait_until

STEPS = 4
RANKS = 2
OF_A_RANK = ("learner.after_take", "learner.before_optimizer", "learner.after_optimizer")
PUBLISHING = ("learner.mid_file", "learner.mid_publish")
STOPS = ("learner.after_take", "learner.after_optimizer", "learner.after_commit")


def rank_killed(root: Path, seed: int) -> Outcome:
    """F6: rank 1 is killed in a step, and again in the last save, when the other roles have ended: both ranks are
    restarted together, and reach the weights of an undisturbed run."""
    outcome = Outcome()
    rng = random.Random(seed)
    base = save_tiny(root / "model")
    fails = f"{rng.choice(OF_A_RANK)}:kill@{rng.randint(2, STEPS - 1)},checkpoint.begun:kill@2"
    golden = _ranks(root, base, seed, "golden", "", outcome)
    found = _ranks(root, base, seed, "killed", fails, outcome)
    outcome.require(found == golden, f"after {fails} the final weights are not those of undisturbed ranks")
    return outcome


def _ranks(root: Path, base: Path, seed: int, name: str, fails: str, outcome: Outcome) -> str:
    """Digest of the weights that two ranks reach."""
    with Scene(root, f"run.max_steps={STEPS}", f"learner.num_ranks={RANKS}", name=name) as scene:
        fill(scene, seed, STEPS * STEP_GROUPS)
        roles = SupervisedRoles(scene, base, ranks=RANKS, fails={"learner-1": fails})
        with roles.running():
            pass
        restarts = [rank.restarts for rank in roles.ranks]
        outcome.require(restarts == [2 if fails else 0] * RANKS, f"{name}: restarts of the ranks {restarts}")
        outcome.injected += len(roles.failed_at())
        outcome.recovery_s += roles.recoveries_s("learner-0", "batch")
        outcome.require(scene.ring.committed() == STEPS, f"{name}: ended at step {scene.ring.committed()}")
        scene.require_audit(outcome)
        return final_weights(scene)


def killed_in_publish(root: Path, seed: int) -> Outcome:
    """F7: the learner is killed while it writes weights, and before it announces them: no engine serves mixed weights,
    and all take over the next version."""
    outcome = Outcome()
    rng = random.Random(seed)
    base = save_tiny(root / "model")
    fails = ",".join(f"{point}:kill@{rng.randint(2, 3)}" for point in PUBLISHING)
    small = ("run.max_steps=6", "actors.num_actors=2", "learner.checkpoint_every=2", "learner.keep_checkpoints=50")
    with Scene(root, *small, "actors.max_num_seqs=8", "broker.rollouts_high_water=20") as scene:
        roles = SupervisedRoles(scene, base, actors=2, ranks=1, fails={"learner-0": fails})
        with scene.preprocessing(), roles.running():
            pass
        outcome.injected = len(roles.failed_at())
        outcome.recovery_s = roles.recoveries_s("learner-0", "batch")
        (learner,) = roles.ranks
        outcome.require(learner.restarts == len(PUBLISHING), f"{learner.restarts} restarts of the learner")
        outcome.require(roles.reason == "run.max_steps=6 reached", f"the run ended: {roles.reason}")
        groups = _stored(scene)
        outcome.violations += version_mismatches(groups, base / "model.safetensors", scene.folder.path / "weights")
        versions = {group.newest_version for group in groups}
        outcome.require(len(versions) > 2, f"the engines wrote with versions {versions} only")
        scene.require_audit(outcome)
    return outcome


def _stored(scene: Scene) -> list[RolloutGroup]:
    """Groups in the ring and in recorded batches."""
    frames = scene.client.hvals(scene.keys.payload)
    return [decode(frame, TrainGroup).rollout_group for frame in frames]


def learner_stopped(root: Path, seed: int) -> Outcome:
    """F15: the learner hangs and cannot be killed: it is replaced, the ring stays within its bounds meanwhile, and when
    it resumes its writes are refused."""
    outcome = Outcome()
    rng = random.Random(seed)
    base = save_tiny(root / "model")
    stop = f"{rng.choice(STOPS)}:stop@{rng.randint(2, 4)}"
    small = ("run.max_steps=1000", "learner.checkpoint_every=2", "broker.ring.capacity=48", "deploy.dead_after_s=5")
    with Scene(root, *small, "actors.max_num_seqs=8") as scene:
        roles = SupervisedRoles(scene, base, actors=1, ranks=1, fails={"learner-0": stop})
        roles.host.cut_off.add("learner-0")
        with scene.preprocessing(), roles.running():
            roles.wait_for_failures(1)
            step = scene.ring.committed()
            wait_until(lambda: scene.ring.committed() > step + 2, "steps of the learner's replacement")
            (zombie,) = roles.host.lost
            zombie.signal(signal.SIGCONT)
            outcome.require("Fenced" in _end_of(zombie), f"stopped at {stop}, it ended: {_end_of(zombie)}")
            step = scene.ring.committed()
            wait_until(lambda: scene.ring.committed() > step + 2, "steps of the replacement after the old one resumed")
            roles.host.cut_off.clear()
            roles.stop()
        outcome.injected = len(roles.failed_at())
        outcome.recovery_s = roles.recoveries_s("learner-0", "batch")
        (learner,) = roles.ranks
        outcome.require(learner.restarts == 1, f"{learner.restarts} restarts of the learner")
        balance = read_balance(scene.client, scene.keys)
        outcome.require(balance.replaced > 0, "the ring replaced no group while no batch was trained")
        newest = find_newest_valid(scene.folder.checkpoints)
        outcome.require(newest is not None and newest.step == balance.committed, "the last step was not saved")
        scene.require_audit(outcome)
    return outcome


def _end_of(role: LocalRole) -> str:
    """Exit code and last output of a role that is about to end."""
    deadline = time.monotonic() + TIMEOUT_S
    while role.process.exitcode is None:
        if time.monotonic() > deadline:
            return "not at all"
        time.sleep(0.05)
    return f"{role.process.exitcode}: {role.log.read_text()[-300:]}"
