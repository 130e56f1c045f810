"""The fine-tuner in its own processes, on real DeepSpeed and Redis, against a plain Hugging Face loop."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from broker.connection import connect
from broker.keys import Keys
from broker.metrics import Control, Metrics
from broker.reports import SftStep
from conf.schema import LearnerSettings, SftSettings
from deploy.cluster.redis_server import EmbeddedRedis
from learner.manifest import find_newest_valid
from learner.sft_batches import Curriculum
from tests.learner.ranks import Processes
from tests.learner.tiny import random_examples, save_tiny

SFT = {"data": "full_oracle", "epochs": 2, "batch_samples": 4, "learning_rate": 3e-3, "warmup_share": 0.3}
STEPS = 6
"""Ten examples, four per step: two epochs of three steps, the third step of two examples."""
SHORT_ROWS = {"row_tokens": 30, "checkpoint_every": 2}
LONG_ROWS = {"row_tokens": 4096, "checkpoint_every": 2}


class SftRun:
    """A run's folder and keys, and the processes started in it."""

    def __init__(self, redis_url: str, name: str, root: Path) -> None:
        self.name, self.url, self.folder = name, redis_url, root / name
        self.folder.mkdir(parents=True)
        self.model_path = save_tiny(self.folder / "model")
        self.client = connect(redis_url, client_name="test")
        self.control = Control(self.client, Keys(name))
        self._started: list[Processes] = []

    def start(self, world_size: int = 1, **options: Any) -> Processes:
        everything = {
            "name": self.name, "redis_url": self.url, "folder": str(self.folder), "model_path": str(self.model_path),
            "sft": SFT, "learner": SHORT_ROWS, **options,
        }  # fmt: skip
        scratch = self.folder / f"start-{len(self._started)}"
        self._started.append(Processes("fine_tuner", everything, scratch, world_size=world_size))
        return self._started[-1]

    def weights(self) -> dict[str, torch.Tensor]:
        newest = find_newest_valid(self.folder / "checkpoints")
        assert newest is not None
        assert newest.step == STEPS
        return load_file(newest.folder / "model.safetensors")

    def column(self, name: str) -> list[float]:
        return [getattr(report, name) for report in Metrics(self.client, Keys(self.name)).read(SftStep)]

    def close(self) -> None:
        for processes in self._started:
            processes.end()
        for key in self.client.scan_iter(match=Keys(self.name).prefix + "*", count=1000):
            self.client.delete(key)
        self.client.close()


@pytest.fixture
def run(redis_url: str, run_name: str, tmp_path: Path) -> Iterator[SftRun]:
    run = SftRun(redis_url, run_name, tmp_path)
    yield run
    run.close()


@pytest.fixture(scope="module")
def finished(redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftRun]:
    """Six steps without faults: one rank, short rows."""
    run = SftRun(redis_server.start(), "test-sft-undisturbed", tmp_path_factory.mktemp("sft"))
    run.start().succeed()
    yield run
    run.close()


def hugging_face_loop(model_path: Path) -> tuple[list[float], list[float], dict[str, torch.Tensor]]:
    """Losses, learning rates and weights of a loop over single sequences, with Hugging Face labels."""
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32)
    defaults = LearnerSettings()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=SFT["learning_rate"], betas=(defaults.adam_beta1, defaults.adam_beta2),
        eps=1e-8, weight_decay=defaults.weight_decay,
    )  # fmt: skip
    examples = random_examples()
    losses, rates = [], []
    for step in range(1, STEPS + 1):
        epoch = (step - 1) // 3
        order = np.random.default_rng([0, epoch + 1]).permutation(10)
        batch = [examples[i] for i in order[(step - 1) % 3 * 4 :][:4]]
        num_tokens = sum(len(example.response_ids) // 4 for example in batch)
        rates.append(3e-3 * (step / 2 if step <= 2 else (7 - step) / 4))  # ceil(0.3 * 6) = 2 steps rise
        optimizer.zero_grad()
        total = 0.0
        for example in batch:
            prompt = np.frombuffer(example.prompt_ids, "<i4").tolist()
            response = np.frombuffer(example.response_ids, "<i4").tolist()
            ids, labels = torch.tensor([prompt + response]), torch.tensor([[-100] * len(prompt) + response])
            loss = model(input_ids=ids, labels=labels, num_items_in_batch=num_tokens).loss
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), defaults.gradient_clip)
        optimizer.param_groups[0]["lr"] = rates[-1]
        optimizer.step()
        losses.append(total)
    return losses, rates, {name: parameter.detach() for name, parameter in model.named_parameters()}


def assert_same_weights(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor], atol: float) -> None:
    for name, weight in ours.items():
        torch.testing.assert_close(weight, theirs[name], atol=atol, rtol=0, msg=lambda m, n=name: f"{n}: {m}")


def test_the_fine_tuner_trains_like_a_plain_hugging_face_loop(finished: SftRun) -> None:
    losses, rates, weights = hugging_face_loop(finished.model_path)
    assert finished.column("loss") == pytest.approx(losses, abs=1e-6)
    assert finished.column("learning_rate") == pytest.approx(rates)
    assert_same_weights(finished.weights(), weights, atol=1e-5)  # Adam divides rounding errors by small moments
    assert losses[-1] < losses[0]


def test_packed_rows_train_like_rows_of_one_sample(run: SftRun, finished: SftRun) -> None:
    run.start(learner=LONG_ROWS).succeed()
    assert run.column("loss") == pytest.approx(finished.column("loss"), abs=1e-6)
    assert run.column("entropy") == pytest.approx(finished.column("entropy"), abs=1e-5)
    assert_same_weights(run.weights(), finished.weights(), atol=1e-6)


@pytest.mark.parametrize("stage", [0, 3])
def test_two_ranks_train_like_one(run: SftRun, finished: SftRun, stage: int) -> None:
    run.start(2, learner={**SHORT_ROWS, "num_ranks": 2, "zero_stage": stage}).succeed()
    assert run.column("loss") == pytest.approx(finished.column("loss"), abs=1e-5)
    assert run.column("tokens") == finished.column("tokens")
    assert_same_weights(run.weights(), finished.weights(), atol=1e-5)


def test_a_killed_fine_tuner_resumes_to_the_same_weights(run: SftRun, finished: SftRun) -> None:
    """Killed in step 4, after the checkpoint of step 2: steps 3 and 4 are trained again, bit for bit."""
    assert run.start(dies_at=4).wait() == [-9]
    assert run.column("step") == [1, 2, 3]
    run.start().succeed()
    resumed, expected = run.weights(), finished.weights()
    assert all(torch.equal(resumed[name], expected[name]) for name in expected)
    assert run.column("step") == [1, 2, 3, 4, 5, 6], "step 3 was trained twice and reported once"
    assert run.column("loss") == finished.column("loss")


def test_a_stopped_run_saves_and_resumes(run: SftRun, finished: SftRun) -> None:
    run.control.stop("the test wants it")
    run.start().succeed()
    assert run.column("step") == []
    run.control.clear()
    run.start().succeed()
    assert all(torch.equal(run.weights()[name], weight) for name, weight in finished.weights().items())


def test_every_step_is_reported(finished: SftRun) -> None:
    curriculum = Curriculum(10, 4, 2, 0)
    assert SftSettings(**SFT).epochs == curriculum.epochs
    assert finished.column("step") == list(range(1, STEPS + 1))
    assert finished.column("epoch") == [1, 1, 1, 2, 2, 2]
    assert finished.column("samples") == [4, 4, 2, 4, 4, 2]
    assert all(entropy > 0 for entropy in finished.column("entropy"))
