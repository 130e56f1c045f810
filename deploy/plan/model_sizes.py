"""The sizes of a model that its memory and its speed depend on: from its config.json, or known by its name."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from broker.errors import UsageError
from conf.model_facts import configs_of
from deploy.run import smollm2
from deploy.run.base_model import RECIPES, Recipe

_QWEN3 = {"num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936}
_QWEN3_4B = _QWEN3 | {
    "hidden_size": 2560, "num_hidden_layers": 36, "num_attention_heads": 32, "intermediate_size": 9728,
    "tie_word_embeddings": True,
}  # fmt: skip
_SMOLLM2_135M = {
    "hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64,
    "intermediate_size": 1536, "vocab_size": 49152, "tie_word_embeddings": True,
}  # fmt: skip
KNOWN: Mapping[str, Mapping[str, Any]] = {
    "Qwen/Qwen3-0.6B": _QWEN3 | {
        "hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16, "intermediate_size": 3072,
        "tie_word_embeddings": True,
    },
    "Qwen/Qwen3-1.7B": _QWEN3 | {
        "hidden_size": 2048, "num_hidden_layers": 28, "num_attention_heads": 16, "intermediate_size": 6144,
        "tie_word_embeddings": True,
    },
    "Qwen/Qwen3-4B": _QWEN3_4B,
    "Qwen/Qwen3-4B-Instruct-2507": _QWEN3_4B,
    "Qwen/Qwen3-8B": _QWEN3 | {
        "hidden_size": 4096, "num_hidden_layers": 36, "num_attention_heads": 32, "intermediate_size": 12288,
        "tie_word_embeddings": False,
    },
    "HuggingFaceTB/SmolLM2-135M-Instruct": _SMOLLM2_135M,
    smollm2.PATH: _SMOLLM2_135M,
}  # fmt: skip
"""`model.path` -> what its config.json says, for models that the settings and pages of this project name."""

_NEEDED = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")


@dataclass(frozen=True)
class ModelSizes:
    """What memory and speed of a dense decoder depend on."""

    parameters: int
    hidden: int
    intermediate: int
    layers: int
    kv_width: int
    """Key-value heads * size of a head."""
    attention_width: int
    """Layers * query heads * size of a head."""
    vocabulary: int
    tied: bool = True
    """Whether head and embeddings are one matrix."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "ModelSizes":
        """From config.json of a dense decoder with a gated MLP (Llama, Qwen, Gemma)."""
        hidden, layers, heads = config["hidden_size"], config["num_hidden_layers"], config["num_attention_heads"]
        head = config.get("head_dim") or hidden // heads
        kv_width = (config.get("num_key_value_heads") or heads) * head
        attention = 2 * hidden * heads * head + 2 * hidden * kv_width
        layer = attention + 3 * hidden * config["intermediate_size"]
        tied = bool(config.get("tie_word_embeddings"))
        return cls(
            parameters=layers * layer + config["vocab_size"] * hidden * (1 if tied else 2),
            hidden=hidden,
            intermediate=config["intermediate_size"],
            layers=layers,
            kv_width=kv_width,
            attention_width=layers * heads * head,
            vocabulary=config["vocab_size"],
            tied=tied,
        )

    @property
    def kv_numbers(self) -> int:
        """Numbers in the KV cache for one token: keys and values in all layers."""
        return 2 * self.layers * self.kv_width

    @property
    def head_parameters(self) -> int:
        return self.vocabulary * self.hidden

    @property
    def body_parameters(self) -> int:
        """Parameters each token is multiplied with, without embeddings and head."""
        return self.parameters - self.head_parameters * (1 if self.tied else 2)


def sizes_of(path: str) -> ModelSizes:
    """The sizes of the model that `model.path` names; nothing is fetched and no weights are read.

    Raises UsageError if its config.json is neither in its folder nor in the hub's cache and the name is not in `KNOWN`,
    or if it is no dense decoder.
    """
    if path in RECIPES:
        return ModelSizes.of(_recipe_config(RECIPES[path]))
    config = next(configs_of(path), None) or KNOWN.get(path)
    if config is None:
        raise UsageError(
            f"the sizes of model.path={path} are not known here: its config.json is neither in a local folder nor in "
            f"the hub's cache; fetch it (hf download {path} config.json), name a folder, or one of {', '.join(KNOWN)}"
        )
    if experts := next((name for name in _EXPERTS if config.get(name)), None):
        raise UsageError(f"model.path={path}: a plan is for dense models, and its config.json names {experts}")
    for name in _NEEDED:
        if not isinstance(config.get(name), int) or config[name] < 1:
            raise UsageError(f"model.path={path}: a plan needs {name} in its config.json, a whole number from 1")
    return ModelSizes.of(config)


def _recipe_config(recipe: Recipe) -> dict[str, Any]:
    """A recipe in the words of config.json."""
    values = asdict(recipe)
    names = {"num_hidden_layers": "num_layers", "num_attention_heads": "num_heads",
             "num_key_value_heads": "num_kv_heads", "intermediate_size": "mlp_size"}  # fmt: skip
    return values | {name: values[ours] for name, ours in names.items()} | {"tie_word_embeddings": True}
