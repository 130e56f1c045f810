"""The whole learner in its own processes, against a real Redis and real DeepSpeed."""

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec.structs import replace
from safetensors.torch import load_file

from broker.connection import connect
from broker.feed import Feed
from broker.keys import Keys
from broker.metrics import Control, Heartbeats, Metrics, read_entries
from broker.records import TrainGroup
from broker.reports import PHASES, LearnerStep, RoleTimes
from broker.ring import Ring
from broker.rollout_samples import RolloutSamples
from broker.streams import RolloutStream
from broker.weights import WeightBoard
from deploy.cluster.redis_server import EmbeddedRedis
from learner.manifest import find_newest_valid
from learner.step import has_gradient
from preprocess.reference import load_reference
from tests.learner.rank_main import STEP_GROUPS, run_config, without_advantages
from tests.learner.ranks import Processes
from tests.learner.tiny import random_groups, save_tiny

STEPS = 8


class LearnerRun:
    """A run's folder and keys, with methods that fill its ring and start its learner."""

    def __init__(self, redis_url: str, name: str, root: Path) -> None:
        self.name, self.url, self.folder = name, redis_url, root / name
        self.folder.mkdir(parents=True)
        self.model_path = save_tiny(self.folder / "model")
        self.client = connect(redis_url, client_name="test")
        self.keys = Keys(name)
        self.ring = Ring(self.client, self.keys, capacity=1000)
        self.board = WeightBoard(self.client, self.keys)
        self.control = Control(self.client, self.keys)
        self._started: list[Processes] = []

    def put(self, groups: list[TrainGroup]) -> None:
        """Put groups into the ring through the feed and the rollout stream, as actors and preprocessors do."""
        feed, stream = Feed(self.client, self.keys), RolloutStream(self.client, self.keys)
        stream.open()
        for group in groups:
            group_id = group.rollout_group.group_id
            token = f"test/{group_id}"
            claimed = feed.claim(token, held_version=0, batch_groups=1, max_lag=None, lease_s=60.0, high_water=9)
            assert claimed == group_id
            assert feed.publish(group_id, token, group.rollout_group)
            (delivery,) = stream.read("test", count=1, block_s=1.0, claim_idle_s=60.0)
            assert self.ring.put(delivery.entry_id, group, step=0)

    def start(self, world_size: int = 1, **options: Any) -> Processes:
        scratch = self.folder / f"start-{len(self._started)}"
        everything = {
            "name": self.name,
            "redis_url": self.url,
            "folder": str(self.folder),
            "model_path": str(self.model_path),
            **options,
        }
        self._started.append(Processes("learner", everything, scratch, world_size=world_size))
        return self._started[-1]

    def weights(self, version: int) -> dict[str, torch.Tensor]:
        return load_file(self.folder / "weights" / f"weights-{version:06d}.safetensors")

    def metrics(self) -> list[LearnerStep]:
        return Metrics(self.client, self.keys).read(LearnerStep)

    def close(self) -> None:
        for processes in self._started:
            processes.end()
        for key in self.client.scan_iter(match=self.keys.prefix + "*", count=1000):
            self.client.delete(key)
        self.client.close()


def enough_groups() -> list[TrainGroup]:
    return random_groups(STEPS * STEP_GROUPS, seed=11)


@pytest.fixture
def run(redis_url: str, run_name: str, tmp_path: Path) -> Iterator[LearnerRun]:
    run = LearnerRun(redis_url, run_name, tmp_path)
    yield run
    run.close()


@pytest.fixture(scope="module")
def finished(redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LearnerRun]:
    """A run of eight steps without faults."""
    run = LearnerRun(redis_server.start(), "test-undisturbed", tmp_path_factory.mktemp("learner"))
    groups = enough_groups()
    run.put(groups)
    RolloutSamples(run.client, run.keys).add({"ordinal": groups[0].rollout_group.group_id, "index": 1})
    run.board.await_learner()
    run.start().succeed()
    yield run
    run.close()


def test_a_learner_that_has_published_lets_the_engines_sample(finished: LearnerRun) -> None:
    assert finished.board.version() == STEPS
    assert not finished.board.awaits_learner()


def test_a_run_ends_at_its_last_step(finished: LearnerRun) -> None:
    assert finished.control.stopped() == f"run.max_steps={STEPS} reached"
    assert finished.board.version() == finished.ring.committed() == STEPS
    assert "learner-0" in Heartbeats(finished.client, finished.keys).all()


def test_a_rank_reports_where_its_time_went(finished: LearnerRun) -> None:
    reports = Metrics(finished.client, finished.keys).read(RoleTimes)
    assert {report.role for report in reports} == {"learner-0"}
    seconds = {phase: sum(r.seconds.get(phase, 0.0) for r in reports) for phase in PHASES["learner"]}
    assert all(s > 0 for s in seconds.values()), seconds
    assert sum(seconds.values()) == pytest.approx(sum(report.wall_s for report in reports), abs=1e-3)
    trained = sum(step.seconds for step in finished.metrics())
    assert seconds["work"] + seconds["optimizer"] < trained < sum(seconds.values())
    assert all(0 < (step.mfu or 0) < 1.5 for step in finished.metrics()), "random groups all have a gradient"


def test_a_sample_gets_the_ratios_of_the_step_that_trained_it(finished: LearnerRun) -> None:
    (entry,) = read_entries(finished.client, finished.keys.samples_ratios)
    group = enough_groups()[0].rollout_group
    assert (entry["ordinal"], entry["index"], entry["step"]) == (str(group.group_id), "1", "1")
    ratios = [float(word) for word in entry["ratios"].split()]
    assert len(ratios) == group.rollouts[1].num_tokens
    assert all(0 < ratio < 100 for ratio in ratios)


def test_engines_get_the_starting_weights_and_a_version_a_step(finished: LearnerRun) -> None:
    first, base = finished.weights(0), load_file(finished.model_path / "model.safetensors")
    assert all(torch.equal(first[name], base[name]) for name in base)
    assert all((finished.folder / "weights" / f"weights-{v:06d}.safetensors").exists() for v in range(STEPS + 1))


def test_every_step_is_reported_once(finished: LearnerRun) -> None:
    rows = finished.metrics()
    assert [row.step for row in rows] == list(range(1, STEPS + 1))
    assert [row.lag_max for row in rows] == list(range(STEPS))  # all groups were written by version 0
    assert {"guided", "unguided"} <= rows[0].reward_mean.keys()
    assert "hard/guided" in rows[0].advantage_share
    assert not rows[0].reward_change
    assert "hard/guided" in rows[-1].reward_change


def test_the_last_step_is_saved_as_a_hugging_face_folder(finished: LearnerRun) -> None:
    newest = find_newest_valid(finished.folder / "checkpoints")
    assert newest is not None
    assert newest.step == STEPS
    saved, last = load_file(newest.folder / "model.safetensors"), finished.weights(STEPS)
    assert all(torch.equal(saved[name], last[name]) for name in last)
    names = {path.name for path in newest.folder.iterdir()}
    assert {"config.json", "tokenizer.json", "model.safetensors", "MANIFEST.json"} <= names
    assert not list(newest.folder.rglob("*.py"))


def test_batches_are_kept_as_long_as_a_checkpoint_may_need_them(finished: LearnerRun) -> None:
    # Checkpoints of steps 6 and 8 are kept; if that of 8 is damaged, 7 and 8 are trained again.
    assert finished.ring.batch(6) is None
    assert finished.ring.batch(7) is not None


def test_two_ranks_under_zero_3_stop_together_and_resume(run: LearnerRun) -> None:
    groups = enough_groups()
    run.put(groups[: 4 * STEP_GROUPS])
    settings = {"zero_stage": 3, "num_ranks": 2}
    processes = run.start(world_size=2, learner=settings)
    deadline = time.monotonic() + 140
    while run.board.version() < 4 and time.monotonic() < deadline:
        assert all(process.is_alive() for process in processes.all), processes.output()
        time.sleep(0.05)
    run.control.stop("the test wants it")
    processes.succeed()
    newest = find_newest_valid(run.folder / "checkpoints")
    assert newest is not None
    assert (newest.step, newest.manifest["world_size"]) == (4, 2)
    assert len(newest.manifest["rng"]) == 2

    run.control.clear()
    run.put(groups[4 * STEP_GROUPS :])
    run.start(world_size=2, learner=settings).succeed()
    assert run.board.version() == STEPS
    assert [row.step for row in run.metrics()] == list(range(1, STEPS + 1))


def test_missing_batches_are_an_error_with_a_remedy(run: LearnerRun) -> None:
    run.put(enough_groups())
    for step in (1, 2, 3):
        assert run.ring.take(step, 12, max_lag=None)
        run.ring.commit(step)
    run.ring.trim(3)
    processes = run.start()
    assert processes.wait() == [1]
    assert "the newest intact checkpoint is of step 0" in processes.output()


def test_a_forced_lag_announces_every_version_so_many_steps_late(run: LearnerRun, finished: LearnerRun) -> None:
    """Without `max_lag`, because the groups of this test are all of version 0."""
    run.put(enough_groups()[: 4 * STEP_GROUPS])
    run.start(learner={"forced_lag": 2, "max_steps": 4}).succeed()
    assert (run.ring.committed(), run.board.version()) == (4, 2)
    files = sorted(path.name for path in (run.folder / "weights").iterdir())
    assert files == [f"weights-{version:06d}.safetensors" for version in range(3)]
    for version in range(3):
        published, undelayed = run.weights(version), finished.weights(version)
        assert all(torch.equal(published[name], undelayed[name]) for name in undelayed)


def test_the_kl_penalty_starts_at_zero_and_oracles_are_trained_too(run: LearnerRun) -> None:
    """At the first step the policy equals the reference; then it moves away from it."""
    steps = 4
    terms = {"kl_coef": 0.01, "entropy_coef": 0.001, "policy_loss": "ppo_clip", "learning_rate": 5e-4}
    settings = {**terms, "warmup_samples": 60, "max_steps": steps}
    reference = load_reference(run.model_path, dtype="float32", device="cpu", temperature=1.0, chunk_tokens=16)
    groups = random_groups(steps * STEP_GROUPS, seed=11, oracles=range(0, steps * STEP_GROUPS, 2))
    run.put([replace(g, reference_logprobs=reference(g.rollout_group)) for g in groups])
    run.start(learner=settings).succeed()
    rows = run.metrics()
    kl = [row.kl for row in rows if row.kl is not None]
    assert len(kl) == steps
    assert kl[0] < 1e-9
    assert all(later > 1e-6 for later in kl[1:])
    assert all(row.applied for row in rows)
    samples = [row.samples for row in rows]
    oracles = (steps * STEP_GROUPS + 1) // 2
    assert sum(samples) == sum(len(group.rollout_group.rollouts) for group in groups) - oracles


def test_a_step_without_a_success_changes_no_weight(run: LearnerRun) -> None:
    """Such steps occur under `preprocess.drop_zero_advantage=false`; not even momentum moves a weight."""
    groups = random_groups(3 * STEP_GROUPS, seed=11)
    of_step = [groups[i : i + STEP_GROUPS] for i in range(0, len(groups), STEP_GROUPS)]
    first, third = (without_advantages(of_step[n]) for n in (0, 2))
    run.put([*first, *of_step[1], *third])
    run.start(learner={"max_steps": 3}).succeed()
    assert [row.grad_norm > 0 for row in run.metrics()] == [False, True, False]
    assert [row.learning_rate > 0 for row in run.metrics()] == [False, True, False]
    weights = [run.weights(version) for version in range(4)]
    moved = [any(not torch.equal(after[name], before[name]) for name in before) for before, after in pairwise(weights)]
    assert moved == [False, True, False]


def test_a_penalty_or_a_bonus_has_a_gradient_without_a_success() -> None:
    failed = without_advantages(random_groups(2, seed=11))
    assert not has_gradient(failed, run_config("x").learner)
    for term in ("kl_coef", "entropy_coef"):
        assert has_gradient(failed, run_config("x", **{term: 0.01}).learner)
    assert has_gradient(random_groups(2, seed=11), run_config("x").learner)
