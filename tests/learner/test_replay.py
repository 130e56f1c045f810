"""`pope replay` on the batches of a finished run."""

import hashlib
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from broker.errors import PopeError, UsageError
from conf.load import dump, load
from deploy.jobs import replay as command
from deploy.jobs.replay_comparison import COMPARED, Comparison, require_equal
from deploy.store.run_folder import FolderLock
from learner.manifest import CheckpointError, folder_of
from learner.replay_plan import STEPS, ReplayPlan
from tests.faults.learner_faults import STEPS as MAX_STEPS
from tests.faults.learner_faults import fill
from tests.faults.scene import Scene
from tests.learner.ranks import Processes
from tests.learner.tiny import save_tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A finished run of eight steps; checkpoints of 6 and 8 are kept, and the batches from 7 on."""
    root = tmp_path_factory.mktemp("replay")
    model = save_tiny(root / "model")
    with Scene(root, f"run.max_steps={MAX_STEPS}", f"model.path={model}") as scene:
        fill(scene, seed=4)
        scene.start_learner(model).succeed()
        yield scene


@pytest.fixture(autouse=True)
def without_ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Starts the ranks of a replay as processes of the test; in the flow test Ray starts them."""

    def train(config: Any, plan: ReplayPlan, redis_url: str, console: Console) -> None:
        settings = tmp_path / "settings.yaml"
        settings.write_text(dump(config))
        options = {"settings": str(settings), "redis_url": redis_url, "first": plan.first, "last": plan.last,
                   "start": str(plan.start), "out": str(plan.out)}
        Processes("replay", options, tmp_path / "ranks").succeed()

    monkeypatch.setattr(command, "_train", train)


def replay(run: Scene, *overrides: str, **how: Any) -> Comparison:
    options = {"first": None, "last": None, "out": None, "url": None, **how}
    return command.replay(run.folder.path, overrides, **options, console=Console(quiet=True))


def snapshot(folder: Path) -> dict[str, str]:
    """Digest of every file of a run's folder but those of its live server."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and "redis" not in path.parts]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.name != "lock"}


def test_the_runs_own_settings_give_its_own_weights_and_write_nothing(run: Scene) -> None:
    files, keys = snapshot(run.folder.path), run.client.dbsize()
    siblings = sorted(path.name for path in run.folder.path.parent.iterdir())
    comparison = replay(run)
    assert (comparison.plan.first, comparison.plan.last) == (6, 8)
    assert list(comparison.replayed) == list(comparison.recorded) == [7, 8]
    assert comparison.differing() == []
    assert comparison.digest == comparison.expected is not None
    assert snapshot(run.folder.path) == files
    assert run.client.dbsize() == keys
    assert run.ring.committed() == 8
    assert sorted(path.name for path in run.folder.path.parent.iterdir()) == siblings


def test_another_objective_is_tried_on_the_same_data_in_a_folder_of_its_own(run: Scene, tmp_path: Path) -> None:
    files = snapshot(run.folder.path)
    comparison = replay(run, "learner.learning_rate=0.05", first=6, last=8, out=tmp_path / "tried")
    assert comparison.changed == {"learner.learning_rate": 0.05}
    # The first step trains the same weights on the same batch, the second other weights.
    assert comparison.replayed[7]["loss"] == comparison.recorded[7]["loss"]
    assert comparison.differing() == [8]
    assert comparison.digest != comparison.expected
    kept = {path.name for path in (tmp_path / "tried").iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "replay.yaml", STEPS} <= kept
    rows = [msgspec.json.decode(line) for line in (tmp_path / "tried" / STEPS).read_bytes().splitlines()]
    assert [row["step"] for row in rows] == [7, 8]
    assert snapshot(run.folder.path) == files
    with pytest.raises(UsageError, match=r"tried exists: name another folder with --out"):
        replay(run, "learner.learning_rate=0.05", out=tmp_path / "tried")


@pytest.mark.parametrize(
    ("overrides", "how", "said"),
    [
        (["actors.temperature=0.5"], {}, r"actors\.temperature=0\.5: .*setting would change them; only learner\.\*"),
        (["learner.batch_samples=4"], {}, r"learner\.batch_samples=4: .*this setting would change them"),
        (["learner.max_lag=0"], {}, r"except learner\.batch_samples and learner\.max_lag"),
        (["learner.kl_coef=0.1"], {}, r"learner\.kl_coef=0\.1: the run recorded no log-probabilities"),
        ([], {"first": 5}, r"--from-step 5: a replay can start at step 6"),
        ([], {"first": 0}, r"--from-step 0: a replay can start at step 6"),
        ([], {"last": 9}, r"--to 9: from step 6 a replay can end at steps 7 to 8"),
        ([], {"last": 6}, r"--to 6: from step 6 a replay can end at steps 7 to 8"),
        ([], {"url": "redis://host"}, r"--url: the run in .* uses the embedded Redis"),
    ],
)
def test_what_cannot_be_replayed_is_refused_with_the_remedy(
    run: Scene, overrides: list[str], how: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        replay(run, *overrides, **how)


@pytest.mark.parametrize(("samples", "refused"), [("128", False), ("256", False), ("257", True), ("null", True)])
def test_a_kl_penalty_may_fade_earlier_but_not_later_than_the_runs(samples: str, refused: bool) -> None:
    before, after = (load(None, ["learner.kl_coef=0.1", f"learner.kl_samples={n}"]) for n in ("256", samples))
    said = rf"learner\.kl_samples={after.learner.kl_samples}: .*its first 256 rollouts only"
    with pytest.raises(UsageError, match=said) if refused else nullcontext():
        assert set(command._changes(before, after)) <= {"learner.kl_samples"}


def test_a_live_run_is_refused_with_its_owner(run: Scene) -> None:
    lock = FolderLock(run.folder.path)
    lock.acquire()
    try:
        with pytest.raises(UsageError, match=r"is in use by pid \d+ on "):
            replay(run)
    finally:
        lock.release()


def test_other_numbers_or_weights_than_the_runs_are_an_error() -> None:
    row = dict.fromkeys(COMPARED, 0.5)
    plan = ReplayPlan(6, 8, Path("start"), Path("out"))
    equal = Comparison(plan, {}, {8: row}, {7: row, 8: row}, "digest", "digest")
    require_equal(equal)
    require_equal(replace(equal, expected=None))
    with pytest.raises(PopeError, match=r"step 8 of the replay is not that of the run: loss 0\.5, was 0\.125"):
        require_equal(replace(equal, recorded={8: {**row, "loss": 0.125}}))
    with pytest.raises(PopeError, match=r"the weights of step 8 are not those of the run's checkpoint"):
        require_equal(replace(equal, expected="other"))


def test_a_replay_does_not_start_from_a_damaged_checkpoint(run: Scene) -> None:
    victim = folder_of(run.folder.checkpoints, 6) / "model.safetensors"
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-1])
    with pytest.raises(CheckpointError, match=r"step-000006: model\.safetensors has \d+ bytes"):
        replay(run)
    victim.write_bytes(whole)
