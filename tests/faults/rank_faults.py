"""Faults of the learner's ranks under the real supervisor."""

import random
import signal
import time
from pathlib import Path

from broker.balance import read_balance
from broker.records import RolloutGroup, TrainGroup, decode
from learner.manifest import find_newest_valid
from tests.faults.household import Household
from tests.faults.learner_faults import fill, final_weights
from tests.faults.local_roles import LocalRole
from tests.faults.outcome import Outcome
from tests.faults.played_engine import mixed_up
from tests.faults.scene import PATIENCE_S, STEP_GROUPS, Scene, wait_until
from tests.learner.tiny import save_tiny

STEPS = 4
RANKS = 2
OF_A_RANK = ("learner.after_take", "learner.before_optimizer", "learner.after_optimizer")
PUBLISHING = ("learner.mid_file", "learner.mid_publish")
STOPS = ("learner.after_take", "learner.after_optimizer", "learner.after_commit")


def rank_killed(root: Path, seed: int) -> Outcome:
    """F6: rank 1 is killed in a step, and again in the last save, when the run has ended for everybody else: both ranks
    are restarted together, to the weights of ranks that nobody disturbed."""
    outcome = Outcome()
    dice = random.Random(seed)
    base = save_tiny(root / "model")
    fails = f"{dice.choice(OF_A_RANK)}:kill@{dice.randint(2, STEPS - 1)},checkpoint.begun:kill@2"
    golden = _ranks(root, base, seed, "golden", "", outcome)
    found = _ranks(root, base, seed, "killed", fails, outcome)
    outcome.require(found == golden, f"after {fails} the final weights are not those of undisturbed ranks")
    return outcome


def _ranks(root: Path, base: Path, seed: int, name: str, fails: str, outcome: Outcome) -> str:
    """Digest of the weights two ranks reach."""
    with Scene(root, f"run.max_steps={STEPS}", f"learner.num_ranks={RANKS}", name=name) as scene:
        fill(scene, seed, STEPS * STEP_GROUPS)
        household = Household(scene, base, ranks=RANKS, fails={"learner-1": fails})
        with household.running():
            pass
        restarts = [rank.restarts for rank in household.ranks]
        outcome.require(restarts == [2 if fails else 0] * RANKS, f"{name}: restarts of the ranks {restarts}")
        outcome.injected += len(household.failed_at())
        outcome.recovery_s += household.recoveries_s("learner-0", "batch")
        outcome.require(scene.ring.committed() == STEPS, f"{name}: ended at step {scene.ring.committed()}")
        scene.require_promises(outcome)
        return final_weights(scene)


def killed_in_publish(root: Path, seed: int) -> Outcome:
    """F7: the learner dies while it writes weights and before it announces them: no engine serves mixed ones, and all
    go on with the next."""
    outcome = Outcome()
    dice = random.Random(seed)
    base = save_tiny(root / "model")
    fails = ",".join(f"{point}:kill@{dice.randint(2, 3)}" for point in PUBLISHING)
    small = ("run.max_steps=6", "actors.num_actors=2", "learner.checkpoint_every=2", "learner.keep_checkpoints=50")
    with Scene(root, *small, "actors.max_num_seqs=8", "broker.rollouts_high_water=20") as scene:
        household = Household(scene, base, actors=2, ranks=1, fails={"learner-0": fails})
        with scene.preprocessing(), household.running():
            pass
        outcome.injected = len(household.failed_at())
        outcome.recovery_s = household.recoveries_s("learner-0", "batch")
        (learner,) = household.ranks
        outcome.require(learner.restarts == len(PUBLISHING), f"{learner.restarts} restarts of the learner")
        outcome.require(household.reason == "run.max_steps=6 reached", f"the run ended: {household.reason}")
        groups = _stored(scene)
        outcome.violations += mixed_up(groups, base / "model.safetensors", scene.folder.path / "weights")
        versions = {group.newest_version for group in groups}
        outcome.require(len(versions) > 2, f"the engines wrote with versions {versions} only")
        scene.require_promises(outcome)
    return outcome


def _stored(scene: Scene) -> list[RolloutGroup]:
    """Groups in the ring and in batches that are kept."""
    frames = scene.client.hvals(scene.keys.payload)
    return [decode(frame, TrainGroup).rollout_group for frame in frames]


def learner_stopped(root: Path, seed: int) -> Outcome:
    """F15: the learner hangs and nobody can kill it: it is replaced, the ring stays within its bounds meanwhile, and
    when it wakes it finds the door locked."""
    outcome = Outcome()
    dice = random.Random(seed)
    base = save_tiny(root / "model")
    stop = f"{dice.choice(STOPS)}:stop@{dice.randint(2, 4)}"
    small = ("run.max_steps=1000", "learner.checkpoint_every=2", "broker.ring.capacity=48", "deploy.dead_after_s=5")
    with Scene(root, *small, "actors.max_num_seqs=8") as scene:
        household = Household(scene, base, actors=1, ranks=1, fails={"learner-0": stop})
        household.host.cut_off.add("learner-0")
        with scene.preprocessing(), household.running():
            household.wait_for_failures(1)
            step = scene.ring.committed()
            wait_until(lambda: scene.ring.committed() > step + 2, "steps of the learner's replacement")
            (zombie,) = household.host.lost
            zombie.signal(signal.SIGCONT)
            outcome.require("Fenced" in _last_words(zombie), f"stopped at {stop}, it ended: {_last_words(zombie)}")
            step = scene.ring.committed()
            wait_until(lambda: scene.ring.committed() > step + 2, "steps of the replacement after the other one woke")
            household.host.cut_off.clear()
            household.stop()
        outcome.injected = len(household.failed_at())
        outcome.recovery_s = household.recoveries_s("learner-0", "batch")
        (learner,) = household.ranks
        outcome.require(learner.restarts == 1, f"{learner.restarts} restarts of the learner")
        balance = read_balance(scene.client, scene.keys)
        outcome.require(balance.replaced > 0, "the ring gave nothing up while nobody trained")
        newest = find_newest_valid(scene.folder.checkpoints)
        outcome.require(newest is not None and newest.step == balance.committed, "the last step was not saved")
        scene.require_promises(outcome)
    return outcome


def _last_words(role: LocalRole) -> str:
    """How a role that is about to end ends."""
    deadline = time.monotonic() + PATIENCE_S
    while role.process.exitcode is None:
        if time.monotonic() > deadline:
            return "not at all"
        time.sleep(0.05)
    return f"{role.process.exitcode}: {role.log.read_text()[-300:]}"
