"""Every causal LM of the installed transformers, as a tiny random model, under the model check.

`python -m tests.learner.architectures` prints docs/models.md.
"""

import inspect
import logging
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM, PretrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES, AutoConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

LAYERS = 4
WINDOW = 8
SIZES: Mapping[str, Any] = {
    # width
    **dict.fromkeys(
        ("hidden_size", "d_model", "n_embd", "dim", "word_embed_proj_dim", "embedding_size", "emb_dim", "lru_width"), 32
    ),
    **dict.fromkeys(
        ("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size", "decoder_ffn_dim", "encoder_ffn_dim", "dff",
         "d_inner", "d_ff", "dim_ff", "intermediate_size_mlp", "feed_forward_proj_dim"), 48
    ),
    **dict.fromkeys(
        ("moe_intermediate_size", "shared_expert_intermediate_size", "shared_intermediate_size",
         "moe_shared_expert_intermediate_size", "expert_hidden_size"), 16
    ),
    # depth
    **dict.fromkeys(
        ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "encoder_layers",
         "num_decoder_layers", "num_encoder_layers"), LAYERS
    ),
    # heads
    **dict.fromkeys(
        ("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads", "encoder_attention_heads",
         "num_decoder_attention_heads", "num_encoder_attention_heads", "swa_num_attention_heads"), 4
    ),
    **dict.fromkeys(("num_key_value_heads", "swa_num_key_value_heads", "num_kv_heads", "multi_query_group_num"), 2),
    **dict.fromkeys(
        ("head_dim", "global_head_dim", "swa_head_dim", "swa_v_head_dim", "qk_rope_head_dim", "qk_nope_head_dim",
         "v_head_dim", "rotary_dim", "attention_head_dim", "kv_channels", "query_pre_attn_scalar", "index_head_dim",
         "dim_head", "d_kv"), 8
    ),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank", "o_lora_rank"), 16),
    **dict.fromkeys(("index_n_heads",), 2),
    **dict.fromkeys(("index_topk",), 4),
    # experts
    **dict.fromkeys(
        ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "ffn_num_experts"), 4
    ),
    **dict.fromkeys(
        ("num_experts_per_tok", "moe_topk", "moe_top_k", "top_k_experts", "num_experts_per_token", "moe_k",
         "num_selected_experts"), 2
    ),
    **dict.fromkeys(("n_group", "topk_group", "num_expert_group", "n_groups", "first_k_dense_replace"), 1),
    # vocabulary and positions
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input"), 128),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_length"), 256),
    **dict.fromkeys(("sliding_window", "attention_chunk_size", "attention_window_size", "local_attention",
                     "sliding_window_size", "window_size"), WINDOW),
    # recurrent layers
    **dict.fromkeys(("mamba_n_heads", "mamba_num_heads", "linear_num_key_heads", "linear_num_value_heads"), 4),
    **dict.fromkeys(
        ("mamba_d_state", "ssm_state_size", "state_size", "mamba_d_head", "mamba_head_dim", "mamba_dt_rank",
         "linear_key_head_dim", "linear_value_head_dim", "chunk_size", "mamba_chunk_size"), 8
    ),
}  # fmt: skip


def tiny_config(config_class: type[PretrainedConfig]) -> PretrainedConfig:
    """The default config of an architecture with small sizes; windows of 8 tokens, every type of layer."""
    default = config_class()
    given = _small(default)
    for name, sub_class in config_class.sub_configs.items():
        sub = getattr(default, name, None)
        if isinstance(sub, PretrainedConfig):
            given[name] = tiny_config(type(sub)).to_dict()
        del sub_class
    return config_class(**given)


def _small(default: PretrainedConfig) -> dict[str, Any]:
    names = {*vars(default), *inspect.signature(type(default).__init__).parameters, *default.attribute_map}
    given = {name: SIZES[name] for name in names if name in SIZES and _is_set(default, name)}
    kinds = list(dict.fromkeys(getattr(default, "layer_types", None) or ()))
    if kinds:
        given["layer_types"] = [kinds[i % len(kinds)] for i in range(LAYERS)]
    for token, number in (("pad_token_id", 0), ("bos_token_id", 1), ("eos_token_id", 2)):
        if token in names:
            given[token] = number
    return given


def _is_set(config: PretrainedConfig, name: str) -> bool:
    return isinstance(getattr(config, name, None), (int, float))


def tiny_model(config: PretrainedConfig) -> Any:
    """A random model with logits of a real size, so that a scale, a soft cap or a leak changes them."""
    torch.manual_seed(0)
    lm = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float()
    with torch.no_grad():
        for parameter in lm.parameters():
            if parameter.dim() >= 2:
                parameter.mul_(8.0)
    return lm.eval()
