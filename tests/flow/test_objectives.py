"""Synchronous GRPO (`max_lag=0`) with a KL penalty, an entropy bonus and oracle rollouts, with all roles."""

from pathlib import Path

import pytest

from broker.reports import GroupEnd, LearnerStep
from deploy.store.metric_files import read_reports
from tests.runs import PATIENCE_S, start_run

pytestmark = [pytest.mark.flow, pytest.mark.timeout(2 * PATIENCE_S)]


def test_synchronous_grpo_with_kl_penalty_entropy_bonus_and_oracle_rollouts(tmp_path: Path) -> None:
    run = start_run(
        tmp_path, "run.max_steps=5", "learner.max_lag=0", "arms.guided=0", "learner.policy_loss=ppo_clip",
        "learner.kl_coef=0.01", "learner.entropy_coef=0.001", "actors.oracle_member=true", "preprocess.advantage=mean",
        name="objectives",
    )  # fmt: skip
    output = run.wait()
    assert run.process.returncode == 0, output + run.logs()
    assert "could not make it train stably" in " ".join(output.split())
    assert run.left_behind() == []
    summary = run.summary()
    assert summary["steps"] == 5
    assert summary["counters"]["balanced"]
    # Every trained token was written by the policy version that it updates.
    assert summary["lag_steps"] == {"mean": 0.0, "max": 0}
    assert summary["multi_version_rollouts"] == 0
    assert summary["counters"]["stale"] == 0

    steps = list(read_reports(run.folder / "metrics", LearnerStep))
    kl = [step.kl for step in steps if step.kl is not None]
    assert len(kl) == 5
    assert kl[0] < 1e-6, "the policy of the first step is the reference"
    assert kl[-1] > 100 * max(kl[0], 1e-9), "the policy moved away from it, and it did not follow"
    # At lag 0 learner and engine compute the same log-probabilities. An oracle has none to differ from.
    assert max(step.logprob_rms for step in steps) < 1e-5
    assert all(step.logprob_rms_lag0 is not None and step.logprob_rms_lag0 < 1e-5 for step in steps)
    assert {step.samples for step in steps} == {28}, "four groups of seven rollouts and an oracle"

    groups = list(read_reports(run.folder / "metrics", GroupEnd))
    assert {group.rollouts for group in groups} == {7}
    assert all(group.successes <= 7 for group in groups)
