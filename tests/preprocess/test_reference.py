"""The reference stays the model that the run started from."""

import threading
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import redis
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM, GraniteConfig, GraniteForCausalLM

from broker.keys import Keys
from broker.metrics import Control
from broker.records import RolloutGroup, WeightAnnouncement, float32_array, int32_array
from conf.schema import LearnerSettings, PreprocessSettings, RunConfig, RunSettings
from learner.batch_feed import build_step
from learner.losses.aggregation import WholeStep
from learner.losses.objective import row_loss
from learner.model import as_policy
from preprocess.preprocessor import Preprocessor
from preprocess.reference import ReferenceModel, load_reference
from preprocess.train_groups import ReferenceLogprobs, to_train_group
from tests.broker.broker_parts import BrokerParts
from tests.groups import oracle_rollout, rollout_group
from tests.learner.tiny import random_groups, save_tiny, tiny_lm
from tests.waiting import wait_until

torch.set_num_threads(1)
TEMPERATURE = 0.8
CONFIG = RunConfig(learner=LearnerSettings(kl_coef=0.1))


def load(model_path: Path) -> ReferenceModel:
    return load_reference(model_path, dtype="float32", device="cpu", temperature=TEMPERATURE, chunk_tokens=5)


def hugging_face_logprobs(lm: torch.nn.Module, group: RolloutGroup) -> list[np.ndarray]:
    """One plain forward pass per rollout: full logits, full log_softmax."""
    prompt = int32_array(group.prompt_ids).tolist()
    found = []
    for rollout in group.rollouts:
        ids = int32_array(rollout.token_ids).tolist()
        with torch.no_grad():
            logits = lm(input_ids=torch.tensor([prompt + ids]), use_cache=False).logits[0, len(prompt) - 1 : -1]
        chosen = torch.log_softmax(logits.float() / TEMPERATURE, -1)[torch.arange(len(ids)), torch.tensor(ids)]
        found.append(chosen.numpy())
    return found


def assert_equal(raw: tuple[bytes, ...], expected: list[np.ndarray], atol: float = 2e-6) -> None:
    assert len(raw) == len(expected)
    for ours, theirs in zip(raw, expected, strict=True):
        np.testing.assert_allclose(float32_array(ours), theirs, atol=atol, rtol=0)


def trained(steps: int) -> torch.nn.Module:
    """A plain LM with the starting weights, after some optimizer steps on the learner's loss."""
    policy = as_policy(tiny_lm(), temperature=TEMPERATURE, chunk_tokens=16)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-2)
    for step in range(steps):
        batch = build_step(random_groups(3, seed=step), row_tokens=400, rank=0, world_size=1)
        for row in batch.rows:
            logprobs, entropies = policy(row.input_ids, row.position_ids, row.layout, row.positions, row.targets)
            size = WholeStep(batch.num_tokens, batch.num_sequences, 40)
            row_loss(row, logprobs, entropies, LearnerSettings(), size).total.backward()
        optimizer.step()
        optimizer.zero_grad()
    plain = tiny_lm()
    plain.load_state_dict({name.removeprefix("lm."): value for name, value in policy.state_dict().items()})
    return plain


def test_the_reference_does_to_logits_and_scores_what_its_architecture_does(tmp_path: Path) -> None:
    sizes = {"vocab_size": 96, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
             "num_key_value_heads": 2, "intermediate_size": 48, "pad_token_id": 0}  # fmt: skip
    for lm in (
        GraniteForCausalLM(GraniteConfig(**sizes, logits_scaling=0.5)),
        Gemma2ForCausalLM(Gemma2Config(**sizes, head_dim=8, final_logit_softcapping=0.5, attn_logit_softcapping=0.1)),
    ):
        lm.set_attn_implementation("eager")
        with torch.no_grad():
            for parameter in lm.parameters():
                parameter.mul_(8.0 if parameter.dim() == 2 else 1.0)
        lm.save_pretrained(tmp_path / type(lm).__name__)
        reference = load(tmp_path / type(lm).__name__)
        group = random_groups(1, seed=9)[0].rollout_group
        expected = hugging_face_logprobs(lm.eval(), group)
        assert np.concatenate(expected).std() > 0.1
        assert_equal(reference(group), expected, atol=2e-5)


@pytest.mark.parametrize("tied", [True, False])
def test_reference_logprobs_equal_an_independent_forward_pass(tmp_path: Path, tied: bool) -> None:
    reference = load(save_tiny(tmp_path / "start", tied=tied))
    for train in random_groups(4, seed=9):
        group = train.rollout_group
        with_oracle = msgspec.structs.replace(group, rollouts=(*group.rollouts, oracle_rollout()))
        assert_equal(reference(with_oracle), hugging_face_logprobs(tiny_lm(tied=tied), with_oracle))


def test_reference_logprobs_equal_those_of_the_learner_for_the_same_weights(tmp_path: Path) -> None:
    reference = load(save_tiny(tmp_path / "start"))
    (group,) = random_groups(1, seed=3)
    (row,) = build_step([group], row_tokens=400, rank=0, world_size=1).rows
    policy = as_policy(tiny_lm(), temperature=TEMPERATURE, chunk_tokens=7)
    logprobs, _ = policy(row.input_ids, row.position_ids, row.layout, row.positions, row.targets)
    ours = np.concatenate([float32_array(raw) for raw in reference(group.rollout_group)])
    np.testing.assert_allclose(ours, logprobs.detach().numpy(), atol=2e-6, rtol=0)


def half_right(group: RolloutGroup) -> RolloutGroup:
    """The group with every second rollout correct, so that it is not dropped."""
    judged = [
        msgspec.structs.replace(rollout, reward=float(i % 2), verdict="correct" if i % 2 else "wrong")
        for i, rollout in enumerate(group.rollouts)
    ]
    return msgspec.structs.replace(group, rollouts=tuple(judged))


def test_the_reference_stays_the_start_model_while_new_weights_are_announced(
    tmp_path: Path, redis_url: str, client: redis.Redis, run_name: str
) -> None:
    config = replace(CONFIG, run=RunSettings(name=run_name))
    broker = BrokerParts(client, Keys(run_name), capacity=64)
    worker = Preprocessor(config, redis_url, "preprocess-0", load(save_tiny(tmp_path / "start")))
    working = threading.Thread(target=worker.run)
    working.start()
    try:
        for version in (0, 1, 2):
            policy = trained(3 * version)
            weights = tmp_path / f"version-{version}"
            policy.save_pretrained(weights)
            broker.board.announce(WeightAnnouncement(version=version, backend="file", path=str(weights)))
            group = half_right(random_groups(1, seed=version, first_group_id=version, version=version)[0].rollout_group)
            assert broker.claim(f"a/{version}") == version
            assert broker.feed.publish(version, f"a/{version}", group)
            wait_until(lambda v=version: broker.ring.take(v + 1, 4, max_lag=None) == [v], "the group in the ring", 10)
            batch = broker.ring.batch(version + 1)
            assert batch is not None
            raw = batch[0].reference_logprobs
            assert raw is not None
            assert_equal(raw, hugging_face_logprobs(tiny_lm(), group))
            now = np.concatenate(hugging_face_logprobs(policy, group))
            distance = np.abs(np.concatenate([float32_array(each) for each in raw]) - now).max()
            assert (distance > 0.01) == (version > 0), "the policy moved away, and the reference did not follow"
    finally:
        Control(client, Keys(run_name)).stop("test")
        working.join(10)


def test_dropped_groups_and_runs_without_a_penalty_get_no_reference_logprobs() -> None:
    asked: list[int] = []

    def counting(group: RolloutGroup) -> tuple[bytes, ...]:
        asked.append(group.group_id)
        return tuple(b"\0" * len(rollout.token_ids) for rollout in group.rollouts)

    def logprobs_of(group: RolloutGroup, reference: ReferenceLogprobs | None) -> tuple[bytes, ...] | None:
        settings = PreprocessSettings()
        return to_train_group(group, settings, max_completion_tokens=9, reference=reference)[0].reference_logprobs

    equal, mixed = rollout_group(0, (0.0, 0.0)), rollout_group(1, (1.0, 0.0))
    assert logprobs_of(equal, counting) is None
    assert logprobs_of(mixed, counting) is not None
    assert asked == [1]
    assert logprobs_of(mixed, None) is None
