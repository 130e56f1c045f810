"""What is known of a model before anything is loaded: whether it is the toy, its size, its longest sequence.

The facts come from config.json in the model's folder or in the hub's cache, otherwise from the name (`0.6B`). Only
these files are read; nothing is fetched, and a model that cannot be found has facts without numbers.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conf.layers import read_tree

TOYS = ("builtin:tiny", "builtin:tiny-reader")
_PARENTS = 3
"""`runs/NAME/sft/model` and `runs/NAME/checkpoints/STEP` are at most this deep in the folder of their run."""


@dataclass(frozen=True)
class ModelFacts:
    """What is known of the model that `model.path` names."""

    path: str
    toy: bool = False
    """Whether it is a built-in toy or was trained from one."""
    parameters: float | None = None
    positions: int | None = None
    """Longest sequence in tokens."""
    cached_numbers: int | None = None
    """Numbers in the KV cache for one token."""
    source: str = "size unknown"
    """Where the size comes from, in words."""


def facts_of(path: str) -> ModelFacts:
    """The facts of a model. It never fails: a folder that is gone or damaged gives no numbers."""
    names = lineage(path)
    if any(name in TOYS for name in names):
        return ModelFacts(path, toy=True, source="built in")
    for config in configs_of(path):
        if (parameters := _parameters(config)) is not None:
            positions = config.get("max_position_embeddings")
            return ModelFacts(
                path,
                parameters=parameters,
                positions=positions if isinstance(positions, int) else None,
                cached_numbers=_cached_numbers(config),
                source=f"{_size(parameters)} parameters by its config.json",
            )
    by_name = re.search(r"(?:^|[-_/.:])(\d+(?:\.\d+)?)([bm])(?:$|[-_/.])", path.lower())
    if by_name is None:
        return ModelFacts(path)
    parameters = float(by_name[1]) * (1e9 if by_name[2] == "b" else 1e6)
    return ModelFacts(path, parameters=parameters, source=f"{_size(parameters)} parameters by its name")


def lineage(path: str) -> list[str]:
    """The model, then the one it was trained from, and so on, as the folders of runs say.

    The base model of `runs/sft/sft/model` is `model.path` in `runs/sft/settings.yaml`.
    """
    names = [path]
    while (base := _base_of(names[-1])) is not None and base not in names:
        names.append(base)
    return names


def _base_of(path: str) -> str | None:
    try:
        folder = Path(path).expanduser().resolve()
        if not folder.is_dir():
            return None
        if (folder / "recipe.json").exists():
            return TOYS[0]
        for parent in (folder, *list(folder.parents)[:_PARENTS]):
            if (parent / "settings.yaml").is_file() and (parent / "logs").is_dir():
                base = read_tree(parent / "settings.yaml")[0]["model"]["path"]
                return base if isinstance(base, str) else None
    except (OSError, RuntimeError, ValueError, KeyError, TypeError):
        return None  # the folder says nothing; what is wrong with it is named when the model is loaded
    return None


def configs_of(path: str) -> Iterator[dict[str, Any]]:
    """config.json of the folder, and of each snapshot in the hub's cache; none if there is none that can be read."""
    hub = os.environ.get("HF_HUB_CACHE") or f"{os.environ.get('HF_HOME') or '~/.cache/huggingface'}/hub"
    cached = f"models--{path.replace('/', '--')}/snapshots/*/config.json"
    try:
        files = [Path(path).expanduser() / "config.json", *Path(hub).expanduser().glob(cached)]
        for file in files:
            if file.is_file() and isinstance(config := json.loads(file.read_text(encoding="utf-8")), dict):
                text = config.get("text_config")
                yield config | (text if isinstance(text, dict) else {})
    except (OSError, RuntimeError, ValueError):
        return  # as above


def _parameters(config: dict[str, Any]) -> float | None:
    """Number of parameters of a decoder, from its sizes; None if config.json does not give them."""
    hidden, layers, vocabulary = (config.get(name) for name in ("hidden_size", "num_hidden_layers", "vocab_size"))
    if not isinstance(hidden, int) or not isinstance(layers, int) or not isinstance(vocabulary, int):
        return None
    heads = _number(config, "num_attention_heads", 1)
    kv_heads, size = _number(config, "num_key_value_heads", heads), _head_size(config)
    experts = _number(config, "num_experts", _number(config, "num_local_experts", 1))
    inner = _number(config, "moe_intermediate_size" if experts > 1 else "intermediate_size", 4 * hidden)
    attention = 2 * hidden * size * (heads + kv_heads)
    embeddings = vocabulary * hidden * (1 if config.get("tie_word_embeddings") else 2)
    return float(embeddings + layers * (attention + 3 * hidden * inner * experts))


def _cached_numbers(config: dict[str, Any]) -> int:
    kv_heads = _number(config, "num_key_value_heads", _number(config, "num_attention_heads", 1))
    return 2 * _number(config, "num_hidden_layers", 1) * kv_heads * _head_size(config)


def _head_size(config: dict[str, Any]) -> int:
    heads = _number(config, "num_attention_heads", 1)
    return _number(config, "head_dim", _number(config, "hidden_size", 1) // heads)


def _number(config: dict[str, Any], name: str, default: int) -> int:
    value = config.get(name)
    return value if isinstance(value, int) and value > 0 else default


def _size(parameters: float) -> str:
    return f"{parameters / 1e9:.1f} B" if parameters >= 0.95e9 else f"{parameters / 1e6:.0f} M"
