"""Checksums of the learner's parameters under the names and fusions of the engine."""

import hashlib

import torch

from learner.checksums import checksums
from tests.learner.tiny import tiny_lm


def sha(*parts: torch.Tensor) -> str:
    return hashlib.sha256(b"".join(part.detach().contiguous().numpy().tobytes() for part in parts)).hexdigest()


def test_fused_parameters_hash_their_parts_in_the_engine_s_order() -> None:
    weights = dict(tiny_lm(tied=False).named_parameters())
    digests = checksums(weights)
    attention = "model.layers.1.self_attn."
    q, k, v = (weights[f"{attention}{name}_proj.weight"] for name in "qkv")
    assert digests[f"{attention}qkv_proj.weight"] == sha(torch.cat([q, k, v]))
    gate, up = (weights[f"model.layers.0.mlp.{name}_proj.weight"] for name in ("gate", "up"))
    assert digests["model.layers.0.mlp.gate_up_proj.weight"] == sha(torch.cat([gate, up]))
    assert f"{attention}q_proj.weight" not in digests
    for name in ("model.norm.weight", f"{attention}q_norm.weight", f"{attention}o_proj.weight"):
        assert digests[name] == sha(weights[name])


def test_a_fused_bias_is_fused_too() -> None:
    weights = {f"l.self_attn.{name}_proj.bias": torch.arange(4.0) + i for i, name in enumerate("qkv")}
    assert checksums(weights) == {"l.self_attn.qkv_proj.bias": sha(torch.cat(list(weights.values())))}


def test_padded_vocabularies_are_left_out() -> None:
    assert checksums({"model.embed_tokens.weight": torch.ones(100, 2), "lm_head.weight": torch.ones(100, 2)}) == {}
    assert "model.embed_tokens.weight" in checksums({"model.embed_tokens.weight": torch.ones(128, 2)})


def test_under_tensor_parallelism_only_whole_parameters_count() -> None:
    digests = checksums(dict(tiny_lm().named_parameters()), tensor_parallel=2)
    assert digests
    assert all(name.endswith("norm.weight") for name in digests)


def test_a_changed_bit_and_another_dtype_change_the_digest() -> None:
    weight = torch.ones(3)
    other = weight.clone()
    other[1] += 1e-7
    digests = [checksums({"w": w})["w"] for w in (weight, other, weight.bfloat16(), weight.clone())]
    assert len(set(digests)) == 3
    assert digests[0] == digests[3]
