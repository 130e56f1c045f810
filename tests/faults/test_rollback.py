"""The watchdog in a real learner: a batch it skips, weights it restores, and a crash around a rollback."""

import signal
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import load_file

from broker.metrics import Metrics
from broker.records import TrainGroup, decode, encode
from broker.reports import LearnerStep
from learner.manifest import read_manifest
from tests.faults.learner_faults import fill, final_weights
from tests.faults.outcome import Outcome
from tests.faults.scene import STEP_GROUPS, Scene
from tests.learner.rank_main import absurd
from tests.learner.ranks import Processes
from tests.learner.tiny import save_tiny

STEPS, ABSURD, POISONED = 10, 1, 7
SETTINGS = (
    f"run.max_steps={STEPS}",
    "watchdog.action=rollback",
    "watchdog.window=2",
    "unhealthy_steps=2",
    "min_ess=0.1",
    "max_drift=2.0",
    "learner.warmup_samples=0",
    "keep_checkpoints=1",
)
"""Checkpoints are saved every 3 steps: that of step 3 is confirmed at step 5, and at step 8 a rollback is due."""


def test_a_rollback_goes_on_from_the_healthy_checkpoint_and_a_crash_around_it_changes_nothing(tmp_path: Path) -> None:
    save_tiny(tmp_path / "model")
    with Scene(tmp_path, *SETTINGS, name="whole") as whole, Scene(tmp_path, *SETTINGS, name="killed") as killed:
        first = start(whole, tmp_path), start(killed, tmp_path, "learner.after_commit:kill@8")
        first[0].succeed()
        assert first[1].wait() == [-signal.SIGKILL], first[1].output()
        second = start(killed, tmp_path, "learner.after_commit:kill@3", filled=True)  # it trains 7, 8 and 9
        assert second.wait() == [-signal.SIGKILL], second.output()
        start(killed, tmp_path, filled=True).succeed()
        assert final_weights(killed) == final_weights(whole)
        require_reports(whole)
        for scene in (whole, killed):
            require_weights(scene)


def start(scene: Scene, root: Path, failpoints: str = "", *, filled: bool = False) -> Processes:
    if not filled:
        fill(scene, seed=5, num_groups=STEPS * STEP_GROUPS)
        for group_id in scene.client.zrange(scene.keys.ring, 0, -1)[STEP_GROUPS * (ABSURD - 1) : STEP_GROUPS * ABSURD]:
            (group,) = absurd([decode(scene.client.hget(scene.keys.payload, group_id), TrainGroup)])
            scene.client.hset(scene.keys.payload, group_id, encode(group))
    return scene.start_learner(root / "model", failpoints, poisoned=[POISONED])


def require_reports(scene: Scene) -> None:
    """Steps 1, 7 and 8 are skipped, and 8 restores step 3; from then on the rate is half."""
    reports = {report.step: report for report in Metrics(scene.client, scene.keys).read(LearnerStep)}
    assert [step for step, report in reports.items() if not report.applied] == [ABSURD, POISONED, POISONED + 1]
    assert {step: report.rolled_back_to for step, report in reports.items() if report.rolled_back_to} == {8: 3}
    assert all(reports[step].watchdog for step in (ABSURD, POISONED, POISONED + 1))
    assert reports[9].learning_rate == reports[6].learning_rate / 2


def require_weights(scene: Scene) -> None:
    """Each version's, the checkpoints', and that the audit has no objection."""
    weights = [load_file(scene.folder.path / f"weights/weights-{v:06d}.safetensors") for v in range(STEPS + 1)]
    same = [step for step, (a, b) in enumerate(pairwise(weights), start=1) if equal(a, b)]
    assert same == [ABSURD]
    assert equal(weights[8], weights[3])
    assert not equal(weights[9], weights[4])
    assert scene.board.version() == scene.ring.committed() == STEPS
    steps = sorted(int(path.name[5:]) for path in scene.folder.checkpoints.glob("step-*"))
    assert 3 in steps, f"the healthy checkpoint is kept beside the newest one: {steps}"
    manifest = read_manifest(scene.folder.checkpoints / f"step-{STEPS:06d}")
    assert manifest["healthy"]
    assert (manifest["watchdog"]["rollbacks"], manifest["watchdog"]["restored"]) == (1, 8)
    outcome = Outcome()
    scene.require_audit(outcome)
    assert not outcome.violations, outcome.violations


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)
