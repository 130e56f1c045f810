"""Packed rows against separate forward passes of Hugging Face."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    Lfm2Config,
    MambaConfig,
    MptConfig,
    OPTConfig,
    OPTForCausalLM,
)
from transformers.modeling_layers import GradientCheckpointingLayer

from broker.records import float32_array, int32_array
from learner.batch_feed import build_step
from learner.losses.policy import ppo_clip, token_log_ratio
from learner.model import Policy, as_policy, load_policy, save_configuration
from learner.unsupported_model import CannotPack, UnsupportedModel
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


@pytest.mark.parametrize("tied", [True, False])
def test_weights_in_shards_are_loaded_whole_and_saved_as_one_file(tmp_path: Path, tied: bool) -> None:
    source = tmp_path / "shards"
    tiny_lm(tied=tied).save_pretrained(source, max_shard_size="20KB")
    assert len(list(source.glob("*.safetensors"))) > 2
    model = load_policy(source, dtype=torch.float32, temperature=1.0, chunk_tokens=16)
    parameters = {name.removeprefix("lm."): parameter for name, parameter in model.named_parameters()}
    for name, parameter in tiny_lm(tied=tied).named_parameters():
        torch.testing.assert_close(parameters[name], parameter, rtol=0, atol=0)
    target = tmp_path / "out"
    target.mkdir()
    save_configuration(model, source, target)
    assert not list(target.glob("*.index.json")), "the index would name shards that are not there"


def test_weights_that_are_not_safetensors_are_refused(tmp_path: Path) -> None:
    source = save_tiny(tmp_path / "base")
    (source / "model.safetensors").unlink()
    torch.save(tiny_lm().state_dict(), source / "pytorch_model.bin")
    with pytest.raises(UnsupportedModel, match="safetensors"):
        load_policy(source, dtype=torch.float32, temperature=1.0, chunk_tokens=16)


def test_damaged_weights_are_refused_for_good(tmp_path: Path) -> None:
    weights = save_tiny(tmp_path) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UnsupportedModel, match=r"^model\.path=.* cannot be loaded: ") as caught:
        load_policy(tmp_path, dtype=torch.float32, temperature=TEMPERATURE, chunk_tokens=7)
    assert caught.value.final


SIZES = {
    "vocab_size": 96, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": 256, "pad_token_id": 0, "tie_word_embeddings": True,
}  # fmt: skip
CHANGED_LOGITS = {
    "scaled": lambda: GraniteForCausalLM(GraniteConfig(**SIZES, logits_scaling=8.0)),
    "multiplied": lambda: CohereForCausalLM(CohereConfig(**SIZES, logit_scale=0.0625)),
    "capped": lambda: Gemma2ForCausalLM(Gemma2Config(**SIZES, head_dim=8, final_logit_softcapping=2.0)),
}


@pytest.mark.parametrize("name", CHANGED_LOGITS)
@pytest.mark.parametrize("packing", ["on", "off"])
def test_what_an_architecture_does_to_its_logits_is_in_probabilities_and_gradients(name: str, packing: Any) -> None:
    results = []
    row = build_step(random_groups(1, 1, seed=4), row_tokens=200, rank=0, world_size=1).rows[0]
    for own in (True, False):
        torch.manual_seed(0)
        lm: Any = CHANGED_LOGITS[name]()
        lm.set_attn_implementation("eager")
        model: torch.nn.Module
        with torch.no_grad():
            lm.get_input_embeddings().weight.mul_(40)
        if own:
            logits = lm(input_ids=row.input_ids, use_cache=False).logits[0, row.positions] / TEMPERATURE
            logprobs = torch.log_softmax(logits, -1).gather(1, row.targets[:, None])[:, 0]
            model = torch.nn.ModuleDict({"lm": lm})
        else:
            model = policy(lm, packing=packing)
            logprobs, _ = model(row.input_ids, row.position_ids, row.layout, row.positions, row.targets)
        logprobs.sum().backward()
        results.append((logprobs.detach(), gradients(model)))
    (plain, expected), (ours, found) = results
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=0)
    assert plain.std() > 0.05, "a distribution that shows a difference"
    assert found.keys() == expected.keys()
    for parameter, gradient in expected.items():
        torch.testing.assert_close(found[parameter], gradient, atol=1e-5, rtol=1e-4)


def test_rows_of_one_sequence_give_the_gradients_of_packed_rows() -> None:
    together, apart = policy(tiny_lm()), policy(tiny_lm(), packing="off")
    expected = packed(together, 500)
    batch = build_step(random_groups(4, seed=3, failed=[(1, 2)]), row_tokens=500, rank=0, world_size=1, packing="off")
    assert len(batch.rows) == batch.num_sequences == 15
    losses: list[float] = []
    for row in batch.rows:
        new, _ = apart(row.input_ids, row.position_ids, row.layout, row.positions, row.targets)
        loss = ppo_clip(new, token_log_ratio(new, row.behaviour_logprobs), row.advantages, 0.0, 5.0)
        losses.extend(loss.tolist())
        (loss.sum() / batch.num_tokens).backward()
    assert sorted(losses) == pytest.approx(sorted(expected[0]), abs=1e-5)
    for name, gradient in gradients(apart).items():
        torch.testing.assert_close(gradient, expected[1][name], atol=1e-5, rtol=0)


def test_there_is_no_dropout_even_where_layers_are_recomputed() -> None:
    """`OPT` drops in its layers; `GradientCheckpointingLayer` recomputes in training mode only."""
    torch.manual_seed(0)
    config = OPTConfig(vocab_size=96, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=48,
                       max_position_embeddings=64, word_embed_proj_dim=32, dropout=0.5, layerdrop=0.5)  # fmt: skip
    model = policy(OPTForCausalLM(config), gradient_checkpointing=True)
    model.train()
    row = build_step(random_groups(1), row_tokens=200, rank=0, world_size=1).rows[0]
    first, second = (model(row.input_ids, row.position_ids, row.layout, row.positions, row.targets)[0] for _ in "ab")
    assert torch.equal(first, second)
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    assert layers
    assert all(layer.training for layer in layers)


def test_a_soft_cap_of_the_scores_is_not_lost_in_rows_of_one_sequence() -> None:
    """The `sdpa` of transformers leaves it out."""
    torch.manual_seed(0)
    lm = Gemma2ForCausalLM(Gemma2Config(**SIZES, head_dim=8))
    assert lm.config._attn_implementation == "sdpa"
    assert policy(lm, packing="off").lm.config._attn_implementation == "eager"  # type: ignore[union-attr]
    assert policy(tiny_lm(), packing="off").lm.config._attn_implementation == "sdpa"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (Lfm2Config(**SIZES, layer_types=["conv", "full_attention"]), "layers of type conv"),
        (MptConfig(vocab_size=96, d_model=32, n_heads=4, n_layers=1), "attention cannot be replaced"),
        (MambaConfig(vocab_size=96, hidden_size=32, num_hidden_layers=1), "takes no position_ids"),
    ],
)
def test_a_model_that_cannot_run_packed_rows_is_refused_by_name(config: Any, reason: str) -> None:
    with pytest.raises(CannotPack, match=rf"ForCausalLM cannot run packed rows: .*{reason}.*; learner\.packing=off"):
        policy(AutoModelForCausalLM.from_config(config))
    row = build_step(random_groups(1), row_tokens=200, rank=0, world_size=1, packing="off").rows[0]
    model = policy(AutoModelForCausalLM.from_config(config), packing="off")
    logprobs, _ = model(row.input_ids, row.position_ids, row.layout, row.positions, row.targets)
    assert (logprobs < 0).all()


@pytest.mark.parametrize("packing", ["on", "off"])
def test_lengths_that_change_the_rotary_embedding_are_refused(packing: Any) -> None:
    lm = tiny_lm(rope_parameters={"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0},
                 max_position_embeddings=10)  # fmt: skip
    model = policy(lm, packing=packing)
    for tokens, fits in ((6, True), (7, False)):
        ids = torch.arange(4 + tokens)[None]
        arguments = (ids, ids, ((4, (tokens,)),), torch.tensor([3]), torch.tensor([5]))
        if fits:
            model(*arguments)
        else:
            with pytest.raises(UnsupportedModel, match="a sample has 11 tokens, and beyond 10 the rotary embedding"):
                model(*arguments)


def test_a_head_that_is_no_linear_projection_is_refused() -> None:
    lm = tiny_lm(tied=False)
    lm.lm_head = torch.nn.Sequential(lm.lm_head)
    with pytest.raises(UnsupportedModel, match="the head is a Sequential"):
        policy(lm)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('{"model_type": "unheard_of"}', "does not know its architecture; choose one of docs/models.md"),
        ('{"model_type": "own", "auto_map": {"AutoConfig": "o.C", "AutoModelForCausalLM": "o.M"}}', "code of its own"),
        ('{"model_type": "t5"}', "no causal language model"),
        ("{", "not a valid JSON file"),
        ('{"model_type": "qwen3"}', "no weights in safetensors"),
    ],
)
def test_a_folder_that_cannot_be_loaded_is_one_line_with_a_remedy(tmp_path: Path, config: str, message: str) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(UnsupportedModel, match=message) as caught:
        load_policy(tmp_path, dtype=torch.float32, temperature=1.0, chunk_tokens=16)
    assert str(caught.value).startswith(f"model.path={tmp_path}")
    assert "\n" not in str(caught.value)
