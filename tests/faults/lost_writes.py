"""A server that loses its last second of writes, while the learner has them."""

import random
import shutil
import time
from pathlib import Path

import psutil

from tests.faults.learner_faults import fill
from tests.faults.outcome import Outcome
from tests.faults.scene import STEP_GROUPS, Scene
from tests.learner.tiny import save_tiny
from tests.waiting import wait_until

STEPS = 5
MOMENTS = ("learner.after_optimizer", "learner.after_commit")
"""Where the learner is when the server loses its last step."""


def server_loses_a_step(root: Path, rng: random.Random, outcome: Outcome) -> None:
    """Restart the server with the file of one step ago: the learner must restore the step, and train no group twice."""
    save_tiny(root / "model")
    step = rng.randint(2, STEPS - 1)
    points = f"learner.after_commit:stop@{step - 1},{rng.choice(MOMENTS)}:stop@{step}"
    with Scene(root, f"run.max_steps={STEPS}", name="lost") as scene:
        fill(scene, rng.randrange(1000), STEPS * STEP_GROUPS + 2)
        learner = scene.start_learner(root / "model", points)
        process = psutil.Process(learner.all[0].pid)

        def wait_for_the_stop() -> None:
            wait_until(lambda: not process.is_running() or process.status() == psutil.STATUS_STOPPED, "a failpoint")

        wait_for_the_stop()
        shutil.copytree(scene.folder.redis / "appendonlydir", root / "earlier")
        process.resume()
        wait_until(lambda: process.status() != psutil.STATUS_STOPPED, "the learner to go on")
        wait_for_the_stop()
        killed_at = time.monotonic()
        scene.server.stop()
        shutil.rmtree(scene.folder.redis / "appendonlydir")
        shutil.copytree(root / "earlier", scene.folder.redis / "appendonlydir")
        scene.server.start()
        outcome.require(scene.ring.committed() == step - 1, "the server lost nothing")
        process.resume()
        wait_until(lambda: scene.ring.committed() >= step, "the step that the server lost")
        outcome.injected += 1
        outcome.recovery_s.append(time.monotonic() - killed_at)
        learner.succeed()
        outcome.require("committing the steps up to" in learner.output(), "the learner did not notice")
        outcome.require(scene.ring.committed() == STEPS, f"{scene.ring.committed()} of {STEPS} steps")
        scene.require_audit(outcome)
