"""SHA-256 of the parameters as the engine holds them: the learner's half of the canary.

vLLM fuses some parameters; the digest of a fused parameter is that of its concatenated parts. Names that the engine
does not have are not compared, so fused parameters of other architectures are skipped. A wrong digest under a name of
the engine would be reported as a corrupted sync.
"""

import hashlib
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

FUSED = {
    "self_attn.qkv_proj": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "mlp.gate_up_proj": ("mlp.gate_proj", "mlp.up_proj"),
}
"""vLLM parameter -> the Hugging Face parameters it consists of, in row order."""
VOCABULARY_PADDING = 64
"""vLLM pads the vocabulary of embedding and LM head to a multiple of this; padded weights are not compared."""
_VOCABULARY = ("embed_tokens.weight", "lm_head.weight")
_NORM = re.compile(r"norm\.weight$")
_HASHERS = 4


def checksums(weights: Mapping[str, Tensor], *, tensor_parallel: int = 1) -> dict[str, str]:
    """Parameter name as the engine holds it -> SHA-256 of its bytes.

    `weights` are in the engine's dtype. Under tensor parallelism a worker holds slices of all parameters but the norms,
    so only these are hashed.
    """
    parts = _norms(weights) if tensor_parallel > 1 else _engine_parts(weights)
    with ThreadPoolExecutor(_HASHERS) as pool:  # hashlib releases the interpreter lock
        return dict(zip(parts, pool.map(_digest, parts.values()), strict=True))


def _norms(weights: Mapping[str, Tensor]) -> dict[str, list[Tensor]]:
    return {name: [weight] for name, weight in weights.items() if _NORM.search(name)}


def _engine_parts(weights: Mapping[str, Tensor]) -> dict[str, list[Tensor]]:
    """Engine's name -> tensors whose concatenated bytes are those of the parameter."""
    fused: dict[str, list[Tensor]] = {}
    fused_names = set()
    for name in weights:
        for target, sources in FUSED.items():
            prefix, found, kind = name.rpartition(sources[0] + ".")
            names = [f"{prefix}{source}.{kind}" for source in sources]
            if found and all(n in weights for n in names):
                fused[f"{prefix}{target}.{kind}"] = [weights[n] for n in names]
                fused_names.update(names)
    plain = {
        name: [weight] for name, weight in weights.items() if name not in fused_names and not _is_padded(name, weight)
    }
    return plain | fused


def _is_padded(name: str, weight: Tensor) -> bool:
    return name.endswith(_VOCABULARY) and weight.shape[0] % VOCABULARY_PADDING != 0


def _digest(parts: list[Tensor]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
