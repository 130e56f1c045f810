"""`actors/engine.py` on real vLLM: its log-probabilities are those of the model, before and after a weight update.

The engine loads what `pope publish` wrote."""

import asyncio
import hashlib
import os
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, Qwen3Config, Qwen3ForCausalLM
from vllm.v1.engine.exceptions import EngineDeadError

from actors import engine_watch
from actors.engine import Engine, canary
from actors.engine_watch import EngineSilent
from broker.records import WeightAnnouncement
from conf.schema import ActorSettings, Sampling
from deploy.jobs.publish import publish
from deploy.view.screen import screen
from tests.actors.chat_tokenizers import byte_tokenizer
from tests.trained_run import trained_run

pytestmark = pytest.mark.flow

SETTINGS = ActorSettings(max_num_seqs=16, max_prompt_tokens=64, max_completion_tokens=128, temperature=0.8)
EVALUATION = Sampling(temperature=1.3, top_p=0.9, top_k=4, max_completion_tokens=160)
"""A budget of its own, longer than that of training, and a distribution that training never has."""
GREEDY = Sampling(temperature=0.0, top_p=1.0, top_k=None, max_completion_tokens=32)
PROMPT = [5, 9, 2, 7, 11, 3]


class EngineScene:
    """A tiny random model, an engine that serves it, and an event loop."""

    def __init__(self, folder: Path) -> None:
        torch.manual_seed(0)
        self.model = Qwen3ForCausalLM(
            Qwen3Config(
                vocab_size=320,
                hidden_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                num_key_value_heads=1,
                head_dim=32,
                intermediate_size=128,
                tie_word_embeddings=True,
                max_position_embeddings=256,
                eos_token_id=1,
            )
        ).eval()
        self.published = publish(trained_run(folder / "run", self.model, byte_tokenizer()).path, screen())
        self.folder = folder
        self.loop = asyncio.new_event_loop()
        self.engine = self.run(self._open(self.published))

    async def _open(self, path: Path) -> Engine:
        engine = Engine(
            path,
            SETTINGS,
            max_model_tokens=SETTINGS.max_prompt_tokens + EVALUATION.max_completion_tokens,
            dtype="float32",
            device="cpu",
            transfer_backend="file",
            stop_token_ids=[1],
            seed=0,
        )
        await engine.start_version(0)
        return engine

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, 120))

    def change_weights(self) -> None:
        """Change the model's weights by an amount that shows in the log-probabilities."""
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))

    def announce(self, version: int) -> WeightAnnouncement:
        path = self.folder / f"weights-{version}.safetensors"
        save_file({name: p.detach().clone() for name, p in self.model.named_parameters()}, path)
        checksums = {
            name: hashlib.sha256(p.detach().numpy().tobytes()).hexdigest() for name, p in self.model.named_parameters()
        }
        return WeightAnnouncement(version=version, backend="file", path=str(path), checksums=checksums)

    def logprob_error(self, prompt: list[int], token_ids: list[int], logprobs: list[float]) -> np.ndarray:
        """Log-probabilities of the engine minus those of the model, nats, one for each token."""
        logits = self.logits(prompt, token_ids)
        reference = torch.log_softmax(logits / SETTINGS.temperature, -1)
        picked = reference.gather(1, torch.tensor(token_ids)[:, None])[:, 0]
        return np.asarray(logprobs) - picked.numpy()


    def logits(self, prompt: list[int], token_ids: list[int]) -> torch.Tensor:
        """The model's own, float32 [T, vocabulary], before every token of the response."""
        with torch.no_grad():
            return self.model(torch.tensor([prompt + token_ids])).logits[0, len(prompt) - 1 : -1].float()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Any:
    scene = EngineScene(tmp_path_factory.mktemp("engine"))
    yield scene
    scene.engine.close()
    scene.loop.close()


def rms_error(scene: EngineScene) -> float:
    prompts = [[*PROMPT, i] for i in range(20, 28)]
    groups = scene.run(_gather(scene.engine, prompts))
    errors = [
        scene.logprob_error(prompt, g.token_ids, g.logprobs)
        for prompt, group in zip(prompts, groups, strict=True)
        for g in group
    ]
    return float(np.sqrt(np.mean(np.concatenate(errors) ** 2)))


async def _gather(engine: Engine, prompts: list[list[int]]) -> list[Any]:
    return await asyncio.gather(*(engine.generate(prompt, 4, SETTINGS.sampling) for prompt in prompts))


def test_a_published_folder_gives_the_same_greedy_answers_in_vllm_and_in_transformers(scene: EngineScene) -> None:
    loaded = AutoModelForCausalLM.from_pretrained(scene.published)
    for prompt in (PROMPT, PROMPT[::-1], [*range(20, 60)]):
        (answer,) = scene.run(scene.engine.generate(prompt, 1, GREEDY))
        options = {"do_sample": False, "max_new_tokens": GREEDY.max_completion_tokens, "eos_token_id": 1}
        generated = loaded.generate(torch.tensor([prompt]), **options)[0, len(prompt) :].tolist()
        assert generated == answer.token_ids
        logits = scene.logits(prompt, answer.token_ids)
        assert logits.argmax(-1).tolist() == generated, "of the checkpoint's own weights"


def test_at_lag_zero_the_engines_logprobs_equal_those_of_the_model(scene: EngineScene) -> None:
    assert rms_error(scene) < 1e-5


def test_evaluations_have_a_budget_and_a_distribution_of_their_own_beside_training(scene: EngineScene) -> None:
    """Both at once, as in an evaluation during training."""

    async def both() -> tuple[list[Any], list[Any]]:
        return await asyncio.gather(
            scene.engine.generate(PROMPT, 8, SETTINGS.sampling, seed=6),
            scene.engine.generate(PROMPT, 8, EVALUATION, seed=7),
        )

    trained, evaluated = scene.run(both())
    for rollouts, budget in ((trained, SETTINGS.max_completion_tokens), (evaluated, 160)):
        assert max(len(rollout.token_ids) for rollout in rollouts) == budget
        assert {rollout.finish_reason for rollout in rollouts if len(rollout.token_ids) == budget} == {"length"}
    for rollout in trained:
        assert np.abs(scene.logprob_error(PROMPT, rollout.token_ids, rollout.logprobs)).max() < 1e-4
    for rollout in evaluated:
        most_likely = scene.logits(PROMPT, rollout.token_ids).topk(4).indices
        assert (most_likely == torch.tensor(rollout.token_ids)[:, None]).any(1).all(), "top-k 4"


def test_after_an_update_the_engine_writes_with_the_new_weights(scene: EngineScene) -> None:
    """Covers the tied LM head: on a CPU vLLM holds a packed copy of it, which a reload alone does not update."""
    scene.change_weights()
    scene.run(scene.engine.update(scene.announce(1), timeout_s=30))
    assert scene.engine.version == 1
    assert rms_error(scene) < 1e-5


def test_a_request_during_an_update_records_which_version_wrote_which_token(scene: EngineScene) -> None:
    async def update_while_writing() -> list[Any]:
        writing = asyncio.create_task(_gather(scene.engine, [[*PROMPT, i] for i in range(30, 34)]))
        await asyncio.sleep(0.15)
        scene.change_weights()
        await scene.engine.update(scene.announce(2), timeout_s=30)
        return await writing

    generations = [g for group in scene.run(update_while_writing()) for g in group]
    spans = {g.version_spans for g in generations}
    assert any([version for _, version in s] == [1, 2] and s[1][0] > 0 for s in spans), spans
    for g in generations:
        assert len(g.logprobs) == len(g.token_ids)


def test_a_request_that_waited_during_an_update_says_that_its_prompt_may_be_older(scene: EngineScene) -> None:
    """More requests of one prompt than the engine runs: the last ones find it in the cache, of the old weights."""
    prompt = [*PROMPT, *range(40, 80)]

    async def update_while_waiting() -> list[Any]:
        writing = asyncio.create_task(scene.engine.generate(prompt, 3 * SETTINGS.max_num_seqs, SETTINGS.sampling))
        await asyncio.sleep(0.15)
        scene.change_weights()
        await scene.engine.update(scene.announce(10), timeout_s=30)
        return await writing

    before = scene.engine.version
    rollouts = scene.run(update_while_waiting())
    assert {rollout.prompt_version for rollout in rollouts} == {before}
    waited = [rollout for rollout in rollouts if rollout.version_spans == ((0, 10),)]
    errors = np.concatenate([scene.logprob_error(prompt, r.token_ids, r.logprobs) for r in waited])
    assert np.abs(errors).max() > 1e-3, "if this holds no more, `Rollout.prompt_version` is not needed any more"
    assert scene.run(scene.engine.generate(prompt, 1, SETTINGS.sampling))[0].prompt_version == 10


def test_the_prefix_cache_does_not_survive_a_weight_change(scene: EngineScene) -> None:
    """The same prompt before and after an update: a cached prefix of the old weights would show in the logprobs."""
    assert rms_error(scene) < 1e-5
    scene.change_weights()
    scene.run(scene.engine.update(scene.announce(3), timeout_s=30))
    assert rms_error(scene) < 1e-5


def test_the_canary_detects_different_weights(scene: EngineScene) -> None:
    held = scene.run(scene.engine.checksums())
    assert canary(scene.announce(3).checksums, held) == []
    scene.change_weights()
    assert "model.norm.weight" in canary(scene.announce(4).checksums, held)
    assert canary({"model.norm.weight": "x"}, {}) == ["(no parameter in common)"]


def test_a_core_that_was_stopped_is_noticed_and_one_that_works_is_not(
    scene: EngineScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also within a weight update, whose own deadline is longer."""
    monkeypatch.setattr(engine_watch, "STOPPED_S", 1.0)
    (core,) = scene.engine._processes()

    async def watch_update(announcement: WeightAnnouncement) -> None:
        updating = asyncio.create_task(scene.engine.update(announcement, timeout_s=100))
        try:
            while True:
                await scene.engine.check()
                await asyncio.sleep(0.1)
        finally:
            os.kill(core, signal.SIGCONT)
            await updating

    async def watch_generation() -> None:
        groups = asyncio.create_task(_gather(scene.engine, [[*PROMPT, i] for i in range(20, 28)]))
        while not groups.done():
            await scene.engine.check()
            await asyncio.sleep(0.1)

    scene.run(watch_generation())
    os.kill(core, signal.SIGSTOP)
    with pytest.raises(EngineSilent, match="was stopped"):
        scene.run(watch_update(scene.announce(9)))
    scene.run(watch_generation())


def test_an_update_from_a_missing_file_is_an_error_that_names_it(scene: EngineScene) -> None:
    """It leaves the engine paused, so no test that generates may follow."""
    missing = WeightAnnouncement(version=9, backend="file", path=str(scene.folder / "none.safetensors"))
    with pytest.raises(Exception, match=r"none\.safetensors"):
        scene.run(scene.engine.update(missing, timeout_s=30))


def test_a_core_that_was_killed_is_noticed_at_the_next_check(scene: EngineScene) -> None:
    """Keep this test the last one."""
    (core,) = scene.engine._processes()

    async def watch() -> None:
        updating = asyncio.create_task(scene.engine.update(scene.announce(10), timeout_s=100))
        os.kill(core, signal.SIGKILL)
        try:
            while True:
                await scene.engine.check()
                await asyncio.sleep(0.1)
        finally:
            updating.cancel()

    with pytest.raises(EngineDeadError):
        scene.run(watch())
