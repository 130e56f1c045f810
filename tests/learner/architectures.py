"""Every causal LM of the installed transformers, as a tiny random model, under the model check.

`python -m tests.learner.architectures` prints docs/models.md.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from conf.schema import LearnerSettings
from learner.model_check import ModelMismatch, check_lm
from learner.unsupported_model import CannotPack, UnsupportedModel

LAYERS = 2
WINDOW = 8
TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
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
    **dict.fromkeys(
        ("mamba_n_heads", "mamba_num_heads", "linear_num_key_heads", "linear_num_value_heads", "linear_num_heads"), 4
    ),
    **dict.fromkeys(
        ("mamba_d_state", "ssm_state_size", "state_size", "mamba_d_head", "mamba_head_dim", "mamba_dt_rank",
         "linear_key_head_dim", "linear_value_head_dim", "linear_head_dim", "chunk_size", "mamba_chunk_size"), 8
    ),
}  # fmt: skip


DEFAULT = object()
"""In `TWEAKS`: the value is not given."""
ATTENTION = ["full_attention"] * LAYERS
TWEAKS: Mapping[str, Mapping[str, Any]] = {
    # Sizes that have to agree with each other, or have no default.
    "bamba": {"mamba_n_heads": 8, "attn_layer_indices": [1]},
    "falcon_h1": {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "mamba2": {"num_heads": 8, "n_groups": 1},
    "granitemoehybrid": {"mamba_n_heads": 8, "layer_types": ["linear_attention", "full_attention"]},
    "nemotron_h": {"mamba_num_heads": 4, "layers_block_type": ["mamba", "attention"]},
    "zamba": {"num_hidden_layers": 4, "layer_types": ["linear_attention", "hybrid"] * 2},
    "zamba2": {"num_hidden_layers": 4, "n_mamba_heads": 8, "mamba_headdim": 8, "attention_hidden_size": 64,
               "attention_head_dim": 16, "layers_block_type": ["linear_attention", "hybrid"] * 2,
               "layer_types": DEFAULT, "num_query_groups": 4},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8},
    "ministral": {"head_dim": 8},
    "nemotron": {"num_key_value_heads": 2},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "zaya": {"num_experts_per_tok": 1},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "gemma3n_text": {"layer_types": ["sliding_attention", "full_attention"], "num_kv_shared_layers": 0,
                     "hidden_size_per_layer_input": 8, "laurel_rank": 4, "intermediate_size": 48},
    "gemma4_text": {"hidden_size_per_layer_input": 8, "global_head_dim": 16},
    "gemma4_unified_text": {"global_head_dim": 16},
    "qwen4_exp_text": {"indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 8, "indexer_budget": 4,
                       "indexer_compress_ratio": 2},
    "prophetnet": {"num_hidden_layers": DEFAULT},
    "xlnet": {"max_position_embeddings": DEFAULT},
    "xmod": {"default_language": "en_XX"},
}  # fmt: skip
VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "llama, rope llama3": ("llama", {"rope_parameters": {
        "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64}}),
    "qwen2, sliding window": ("qwen2", {"use_sliding_window": True, "layer_types": ["sliding_attention"] * LAYERS}),
    "granitemoehybrid, attention only": ("granitemoehybrid", {"mamba_n_heads": 8, "layer_types": ATTENTION}),
    "lfm2, attention only": ("lfm2", {"layer_types": ATTENTION}),
}  # fmt: skip
"""Other configs of an architecture that are tried as well."""


def tiny_config(model_type: str, **tweaks: Any) -> PretrainedConfig:
    """The default config of an architecture with small sizes; windows of 8 tokens, every type of layer."""
    default = AutoConfig.for_model(model_type)
    given = {**_small(default), **TWEAKS.get(model_type, {}), **tweaks}
    return type(default)(**{name: value for name, value in given.items() if value is not DEFAULT})


def _small(default: PretrainedConfig) -> dict[str, Any]:
    given: dict[str, Any] = {
        name: small
        for name, small in SIZES.items()
        if isinstance(_get(default, name), (int, float)) and _can_be_set(default, name)
    }
    given |= {name: number for name, number in TOKENS.items() if hasattr(default, name)}
    if _get(default, "kv_lora_rank"):
        given["num_key_value_heads"] = given["num_attention_heads"]
    if hasattr(default, "is_decoder"):
        given["is_decoder"] = True
    kinds = list(dict.fromkeys(_get(default, "layer_types") or ()))
    if kinds and _can_be_set(default, "layer_types"):
        given["layer_types"] = [kinds[i % len(kinds)] for i in range(LAYERS)]
    for name in default.sub_configs:
        if isinstance(part := getattr(default, name, None), PretrainedConfig):
            given[name] = type(part)(**{**_small(part), **TWEAKS.get(part.model_type, {})})
    return given


def _get(config: PretrainedConfig, name: str) -> Any:
    try:
        return getattr(config, name, None)
    except RuntimeError:  # it differs between layers
        return getattr(config.per_layer_config[0], name, None)


def _can_be_set(config: PretrainedConfig, name: str) -> bool:
    attribute = getattr(type(config), config.attribute_map.get(name, name), None)
    return not isinstance(attribute, property) or attribute.fset is not None


def tiny_model(config: PretrainedConfig) -> Any:
    """A random model with logits of a real size, so that a scale, a soft cap or a leak changes them."""
    torch.manual_seed(0)
    lm = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float()
    with torch.no_grad():
        for parameter in lm.parameters():
            if parameter.dim() >= 2:
                parameter.mul_(8.0)
    return lm.eval()


NOT_TRIED: Mapping[str, str] = {
    "blt": "its sizes belong to three models that have to fit together",
    "cohere_compass_text": "its rotary embedding needs real head sizes",
    "dbrx": "the installed transformers cannot make one from its default config",
    "gemma3n": "needs the library timm for its images; its text model is `gemma3n_text`",
    "gemma4_assistant": "has no vocabulary of its own",
    "gemma4_unified_assistant": "has no vocabulary of its own",
    "musicgen": "is made of three models for sound",
    "musicgen_melody": "is made of three models for sound",
    "reformer": "its positions are a product of sizes that have to fit together",
}
"""Architectures without a tiny random model -> why."""
TRIED = tuple(sorted([*(set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) - set(NOT_TRIED)), *VARIANTS]))
"""Model types of transformers, and `VARIANTS`."""


@dataclass(frozen=True)
class Outcome:
    """What the model check says of an architecture."""

    name: str
    on: str
    """`equal`, `refused: ...` or `DIFFERENT: ...`, with packed rows."""
    off: str
    """The same with one sequence in a row."""

    @property
    def line(self) -> str:
        """Its line of docs/models.md."""
        return f"| `{self.name}` | {self.on} | {self.off} |"


def outcome(name: str) -> Outcome:
    """Makes the model twice and checks it with packed rows and without."""
    model_type, tweaks = VARIANTS.get(name, (name, {}))
    config = tiny_config(model_type, **tweaks)
    return Outcome(name, _checked(config, packing="on"), _checked(config, packing="off"))


def _checked(config: PretrainedConfig, **settings: Any) -> str:
    lm = tiny_model(config)
    try:
        check_lm(lm, dtype=torch.float32, settings=LearnerSettings(row_tokens=100, **settings), temperature=1.0)
    except CannotPack as error:
        return f"refused: {error.reason}"
    except UnsupportedModel as error:
        return f"refused: {error}"
    except ModelMismatch as error:
        return f"DIFFERENT: {error}"
    return "equal"


PAGE = """\
# Models

Which models can be trained, and how. The learner must compute the probabilities of the model itself, as the engine
that sampled with it does. It uses the model's own code: its layers, its masks, its head and whatever it does to
logits (the scale of Granite and Cohere, the soft cap of Gemma 2). Two things are its own: rows, and the head in
float32.

- **`learner.packing=on`** (default): a row holds many samples, and each prompt is computed once for all its
  rollouts. It needs a model in which nothing but attention connects tokens. Causal, sliding and chunked masks, soft
  caps and sinks are honoured exactly; anything else that an architecture asks of attention is refused by name.
- **`learner.packing=off`**: a row is one prompt with one rollout, computed by the model's own attention. For every
  causal language model of transformers, such as those with recurrent or convolutional layers; a prompt is computed
  once for each rollout.

Before anything is sampled, the model check compares both sides for the model of the run: log-probabilities of its
own forward pass, one random text at a time, against those of a row. They must agree within a root mean square of
1e-4 nats in float32 (less for a model of flat logits, in which a fault shows less). A model that is refused, or
that differs, ends the run in one line that says what to do. The check needs no list of architectures: it holds for
models that are not in the table, and a model of your own is tried in the same way.

Whether vLLM can run a model is another question: its engines refuse what they do not know when a run starts. Code
that comes with a model is never run, and only safetensors are read.

## What was tried

Every causal language model of transformers {version}, with random weights, small sizes, every type of layer of its
default config, and windows of 8 tokens. `equal`: within 1e-4 nats. {num_equal} of {num_tried} are equal with packed
rows. The table is written by `python -m tests.learner.architectures > docs/models.md`, and a test compares every
line of it.

| model type | packing=on | packing=off |
|---|---|---|
{table}

Not tried, because no tiny model could be made:

{not_tried}
"""


def page() -> str:
    """docs/models.md."""
    import transformers

    outcomes = [outcome(name) for name in TRIED]
    return PAGE.format(
        version=transformers.__version__,
        num_equal=sum(found.on == "equal" for found in outcomes),
        num_tried=len(outcomes),
        table="\n".join(found.line for found in outcomes),
        not_tried="\n".join(f"- `{name}`: {why}" for name, why in NOT_TRIED.items()),
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.stdout.write(page())
