"""Which files of a model hold weights that can be trained: safetensors, whole or in shards."""

import json
from pathlib import Path

from broker.errors import UsageError

INDEX = "model.safetensors.index.json"
"""Names the shard of every tensor of a model in several files."""
GGUF_REMEDY = (
    "GGUF weights are rounded for inference and cannot be trained: take the model they were made from, in safetensors "
    "(on the hub usually the same name without -GGUF), or convert them once (docs/troubleshooting.md)"
)


def require_safetensors(path: Path, name: str) -> None:
    """Raises UsageError, with the remedy, unless `path` is a folder with all files of the model's weights.

    `name`: `model.path`, for messages.
    """
    if path.is_file():
        remedy = GGUF_REMEDY if path.suffix == ".gguf" else "name the folder that holds it, config and tokenizer beside"
        raise UsageError(f"model.path={name} is a file; {remedy}")
    if not any(path.glob("*.safetensors")):
        gguf = any(path.glob("*.gguf")) or "gguf" in path.name.lower() or "gguf" in name.lower()
        remedy = GGUF_REMEDY if gguf else "load it where it is trusted and save it with save_pretrained"
        raise UsageError(f"model.path={name}: no .safetensors file in {path}; {remedy}")
    if absent := _absent_shards(path):
        raise UsageError(
            f"model.path={name}: {absent[0]} is missing, which {INDEX} names"
            + (f", and {len(absent) - 1} more" if len(absent) > 1 else "")
            + "; fetch the model again"
        )


def _absent_shards(folder: Path) -> list[str]:
    """Files that the index names and the folder lacks. Raises UsageError if the index is damaged."""
    index = folder / INDEX
    if not index.is_file():
        return []
    try:
        shards = set(json.loads(index.read_bytes())["weight_map"].values())
        return sorted(shard for shard in shards if not (folder / shard).is_file())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{index} is damaged: {error}; fetch the model again") from error
