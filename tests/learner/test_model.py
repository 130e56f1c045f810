"""Packed rows against separate forward passes of Hugging Face."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from broker.records import float32_array, int32_array
from learner.batch_feed import build_step
from learner.losses.policy import ppo_clip, token_log_ratio
from learner.model import Policy, as_policy, load_policy, save_configuration
from learner.unsupported_model import UnsupportedModel
from tests.learner.tiny import random_groups, save_tiny, tiny_lm

torch.set_num_threads(1)
TEMPERATURE = 0.8


def policy(lm: object, **options: object) -> Policy:
    return as_policy(lm, temperature=TEMPERATURE, chunk_tokens=7, **options)  # type: ignore[arg-type]


def gradients(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name.removeprefix("lm."): p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def separate(tied: bool) -> tuple[list[float], dict[str, Tensor]]:
    """Token losses and gradients of a plain Hugging Face forward pass per sample: full logits, full log_softmax."""
    lm = tiny_lm(tied=tied)
    groups = random_groups(4, seed=3, failed=[(1, 2)])
    num_tokens = sum(r.num_tokens for g in groups for r in g.rollout_group.rollouts if r.reward is not None)
    losses: list[float] = []
    for group in groups:
        prompt = int32_array(group.rollout_group.prompt_ids).tolist()
        for i, rollout in enumerate(group.rollout_group.rollouts):
            if rollout.reward is None:
                continue
            ids = int32_array(rollout.token_ids).tolist()
            logits = lm(input_ids=torch.tensor([prompt + ids]), use_cache=False).logits[0, len(prompt) - 1 : -1]
            new = torch.log_softmax(logits.float() / TEMPERATURE, -1)[torch.arange(len(ids)), torch.tensor(ids)]
            old = torch.from_numpy(float32_array(rollout.logprobs).copy())
            advantage = torch.full((len(ids),), float(float32_array(group.advantages)[i]))
            loss = ppo_clip(new, token_log_ratio(new, old), advantage, 0.0, 5.0)
            losses.extend(loss.tolist())
            (loss.sum() / num_tokens).backward()
    return losses, gradients(lm)


def packed(model: Policy, row_tokens: int) -> tuple[list[float], dict[str, Tensor]]:
    batch = build_step(random_groups(4, seed=3, failed=[(1, 2)]), row_tokens=row_tokens, rank=0, world_size=1)
    losses: list[float] = []
    for row in batch.rows:
        new, _ = model(row.input_ids, row.position_ids, row.layout, row.positions, row.targets)
        loss = ppo_clip(new, token_log_ratio(new, row.behaviour_logprobs), row.advantages, 0.0, 5.0)
        losses.extend(loss.tolist())
        (loss.sum() / batch.num_tokens).backward()
    return losses, gradients(model)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("row_tokens", [24, 60, 500])
def test_packed_rows_give_the_losses_and_gradients_of_separate_samples(tied: bool, row_tokens: int) -> None:
    losses, reference = separate(tied)
    packed_losses, ours = packed(policy(tiny_lm(tied=tied)), row_tokens)
    assert sorted(packed_losses) == pytest.approx(sorted(losses), abs=2e-5)
    assert ours.keys() == reference.keys()
    assert ("lm_head.weight" in ours) == (not tied)
    for name, gradient in reference.items():
        torch.testing.assert_close(ours[name], gradient, atol=2e-6, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


def test_gradient_checkpointing_changes_no_number() -> None:
    plain, checkpointed = packed(policy(tiny_lm()), 60), packed(policy(tiny_lm(), gradient_checkpointing=True), 60)
    assert plain[0] == checkpointed[0]
    for name in plain[1]:
        torch.testing.assert_close(plain[1][name], checkpointed[1][name])


def test_rollouts_of_one_prompt_do_not_see_each_other() -> None:
    model = policy(tiny_lm())
    row = build_step(random_groups(1, seed=5), row_tokens=200, rank=0, world_size=1).rows[0]
    (prompt, rollouts) = row.layout[0]
    last = slice(prompt + sum(rollouts[:-1]), None)
    before, _ = model(row.input_ids, row.position_ids, row.layout, row.positions, row.targets)
    changed = row.input_ids.clone()
    changed[0, last] = (changed[0, last] + 1) % 90
    after, _ = model(changed, row.position_ids, row.layout, row.positions, row.targets)
    others = sum(rollouts[:-1])
    assert torch.equal(before[:others], after[:others])


def test_the_head_is_float32_under_a_bfloat16_body() -> None:
    for tied in (True, False):
        model = policy(tiny_lm(tied=tied, dtype=torch.bfloat16))
        row = build_step(random_groups(1), row_tokens=200, rank=0, world_size=1).rows[0]
        logprobs, entropies = model(row.input_ids, row.position_ids, row.layout, row.positions, row.targets)
        assert logprobs.dtype == entropies.dtype == torch.float32
        assert {p.dtype for p in model.parameters()} == {torch.bfloat16}


def test_a_folder_loads_from_safetensors_and_saves_all_but_weights(tmp_path: Path) -> None:
    source = save_tiny(tmp_path / "base", tied=False)
    model = load_policy(source, dtype=torch.float32, temperature=1.0, chunk_tokens=16)
    torch.testing.assert_close(dict(model.named_parameters())["lm.lm_head.weight"], tiny_lm(tied=False).lm_head.weight)
    target = tmp_path / "out"
    target.mkdir()
    save_configuration(model, source, target)
    names = {path.name for path in target.iterdir()}
    assert {"config.json", "tokenizer.json"} <= names
    assert not any(name.endswith(".safetensors") for name in names)


def test_weights_that_are_not_safetensors_are_refused(tmp_path: Path) -> None:
    source = save_tiny(tmp_path / "base")
    (source / "model.safetensors").unlink()
    torch.save(tiny_lm().state_dict(), source / "pytorch_model.bin")
    with pytest.raises(UnsupportedModel, match="safetensors"):
        load_policy(source, dtype=torch.float32, temperature=1.0, chunk_tokens=16)
