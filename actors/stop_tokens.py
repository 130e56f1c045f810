"""The token ids that end a completion."""

from pathlib import Path
from typing import Any


def stop_token_ids(tokenizer: Any, model_path: Path) -> list[int]:
    """End-of-sequence ids of the tokenizer and of the model's generation settings; chat models have several."""
    from transformers import GenerationConfig

    ids = {tokenizer.eos_token_id}
    if (model_path / "generation_config.json").exists():
        eos = GenerationConfig.from_pretrained(model_path).eos_token_id
        ids.update(eos if isinstance(eos, list) else [eos])
    return sorted(i for i in ids if i is not None)
