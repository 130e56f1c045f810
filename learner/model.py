"""The learner's policy: a Hugging Face causal LM whose forward pass returns log-probabilities."""

import inspect
import shutil
import sys
from pathlib import Path
from typing import Any, Literal, Self

import torch
import transformers
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, AutoModelForCausalLM
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_layers import GradientCheckpointingLayer

from learner.attention import packed
from learner.attention.layout import Layout
from learner.attention.packed import Implementation, PackedRow
from learner.attention.position_mask import packed_mask
from learner.logprobs import ExpectedGradient
from learner.packable import refuse_too_long, refuse_unpackable
from learner.token_head import TokenHead, body_name, body_of
from learner.unsupported_model import UnsupportedModel

AttentionInterface.register(packed.NAME, packed.packed_attention)
AttentionMaskInterface.register(packed.NAME, packed_mask)

PREFIX = "lm."
"""Prefix that `Policy` adds to the Hugging Face name of a parameter."""
_WEIGHT_FILES = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".index.json")

_EXPLANATIONS = {
    "custom code": "it needs code of its own, which is never run; choose a model of an architecture in docs/models.md",
    "does not recognize this architecture": f"transformers {transformers.__version__} does not know its architecture; "
    "choose one of docs/models.md, or install a version of transformers and vLLM that knows it",
    "Unrecognized configuration class": "it is no causal language model; choose one of docs/models.md",
    "no file named": "it has no weights in safetensors; load it where it is trusted and `save_pretrained` it again",
}
"""Piece of a message of transformers -> what to do."""

Packing = Literal["on", "off"]
"""`learner.packing`."""


class Policy(nn.Module):
    """log pi of response tokens under softmax(logits / temperature).

    The body runs in the model's dtype; the LM head runs in float32, only on positions that predict a trained token.
    """

    def __init__(self, lm: Any, *, packing: Packing = "on", attention: Implementation = "auto") -> None:
        super().__init__()
        self.lm = lm
        self._body_name = body_name(lm)
        self.packing = packing
        self._attention = attention

    def forward(
        self, input_ids: Tensor, position_ids: Tensor, layout: Layout, positions: Tensor, targets: Tensor,
        expected: ExpectedGradient | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """One row. input_ids, position_ids [1, T]; positions [N] in 0..T-1 predict targets [N].

        -> (logprobs [N], entropies [N]), float32, nats. `expected`: see `learner/logprobs.py`.
        """
        lm: Any = self.lm
        refuse_too_long(lm.config, layout)
        if self.packing == "on":
            # A mask of ones: without one, transformers takes jumps in the positions for borders of sequences.
            options = {
                "position_ids": position_ids,
                "attention_mask": torch.ones_like(input_ids),
                "packed_row": PackedRow(layout, self._attention),
            }
        else:
            options = {}
            assert [len(rollouts) for _, rollouts in layout] == [1], "learner.packing=off has one sequence a row"
        output = getattr(lm, self._body_name)(input_ids=input_ids, use_cache=False, **options)
        logprobs, entropies = lm.get_output_embeddings()(output.last_hidden_state[0, positions], targets, expected)
        return logprobs, entropies

    def train(self, mode: bool = True) -> Self:
        """Has no effect but that layers are recomputed: with dropout the policy would not be what the engine samples.

        transformers recomputes a layer only in training mode, which is therefore that of these layers themselves, but
        of nothing inside them.
        """
        super().train(False)
        for module in self.modules():
            if isinstance(module, GradientCheckpointingLayer):
                module.training = mode and module.gradient_checkpointing
        return self


def load_policy(path: Path, *, dtype: torch.dtype, **options: Any) -> Policy:
    """The model in the folder `path`; only safetensors are read and no code of the folder is run.

    `options`: those of `as_policy`. Raises `UnsupportedModel`.
    """
    return as_policy(load_lm(path, dtype=dtype), **options)


def load_lm(path: Path, *, dtype: torch.dtype, attention: str | None = None) -> Any:
    """The Hugging Face causal LM in the folder `path`, as it is. Raises `UnsupportedModel` if it cannot be loaded.

    `attention`: its implementation; None: the choice of transformers.
    """
    try:
        return AutoModelForCausalLM.from_pretrained(
            path, dtype=dtype, attn_implementation=attention, use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
        raise UnsupportedModel(f"model.path={path} cannot be loaded: {_explained(error)}") from error


def as_policy(
    lm: Any,
    *,
    temperature: float,
    chunk_tokens: int,
    packing: Packing = "on",
    attention: Implementation = "auto",
    gradient_checkpointing: bool = False,
    entropy_gradient: bool = False,
) -> Policy:
    """Turns a Hugging Face causal LM into a policy; the LM is changed in place.

    `packing`: off takes rows of one sequence, for a model that cannot run packed rows. `attention`: of packed rows.
    `entropy_gradient`: entropies have a gradient, for an entropy bonus. Raises `UnsupportedModel`.
    """
    head = TokenHead(lm, temperature=temperature, chunk_tokens=chunk_tokens, entropy_gradient=entropy_gradient)
    _choose_attention(lm, packing)
    lm.set_output_embeddings(head)
    if gradient_checkpointing:
        _checkpoint_layers(lm)
    policy = Policy(lm, packing=packing, attention=attention)
    policy.train()
    return policy


def _choose_attention(lm: Any, packing: Packing) -> None:
    if packing == "on":
        lm.set_attn_implementation(packed.NAME)
        refuse_unpackable(lm)
    else:
        lm.set_attn_implementation(_own_attention(lm))


def _own_attention(lm: Any) -> str:
    """`sdpa`, unless the plain attention of the architecture takes what `sdpa` would leave out, such as a soft cap."""
    plain = getattr(sys.modules[type(body_of(lm)).__module__], "eager_attention_forward", None)
    known = inspect.signature(sdpa_attention_forward).parameters
    complete = plain is None or set(inspect.signature(plain).parameters) <= set(known)
    return "sdpa" if lm._supports_sdpa and complete else "eager"


def _checkpoint_layers(lm: Any) -> None:
    layers = [module for module in lm.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise UnsupportedModel(
            f"{type(lm).__name__} cannot recompute its layers; set learner.gradient_checkpointing=false"
        )
    for layer in layers:  # they will be in training mode: see `Policy.train`
        for name, value in vars(layer).items():
            if "drop" in name and isinstance(value, float):
                setattr(layer, name, 0.0)
    lm.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


def _explained(error: Exception) -> str:
    """One line: what is known about an error of transformers, or the first line of its message."""
    message = str(error)
    known = next((remedy for piece, remedy in _EXPLANATIONS.items() if piece in message), None)
    return known or next((line.strip() for line in message.splitlines() if line.strip()), type(error).__name__)


def save_configuration(policy: Policy, model_path: Path, folder: Path) -> None:
    """Writes all files of a Hugging Face folder except the weights: the config, and copies of the other files."""
    for source in sorted(model_path.iterdir()):
        if source.is_file() and not source.name.endswith(_WEIGHT_FILES):
            shutil.copyfile(source, folder / source.name)
    lm: Any = policy.lm
    lm.config.save_pretrained(folder)
