"""The learner's policy: a Hugging Face causal LM whose forward pass returns log-probabilities."""

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, AutoModelForCausalLM

from learner.logprobs import chunked_logprobs
from learner.packed_attention import NAME, Layout, packed_attention

AttentionInterface.register(NAME, packed_attention)

PREFIX = "lm."
"""Prefix that `Policy` adds to the Hugging Face name of a parameter."""
_WEIGHT_FILES = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".index.json")


class Policy(nn.Module):
    """log pi of response tokens under softmax(logits / temperature).

    The body runs in the model's dtype; the LM head runs in float32, only on positions that predict a trained token.
    """

    def __init__(self, lm: nn.Module) -> None:
        super().__init__()
        self.lm = lm

    def forward(
        self, input_ids: Tensor, position_ids: Tensor, layout: Layout, positions: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One packed row. input_ids, position_ids [1, T]; positions [N] in 0..T-1 predict targets [N].

        -> (logprobs [N], entropies [N]), float32, nats.
        """
        lm: Any = self.lm
        output = lm.base_model(input_ids=input_ids, position_ids=position_ids, layout=layout, use_cache=False)
        logprobs, entropies = lm.get_output_embeddings()(output.last_hidden_state[0, positions], targets)
        return logprobs, entropies


class TokenHead(nn.Module):
    """The LM head: hidden states and the tokens that followed -> log-probabilities of the tokens, and entropies.

    It computes in float32 for any dtype of its weight; tied weights stay tied. All chunks are inside one module call:
    under ZeRO 3 a call is a collective, and ranks differ in the number of chunks of a row.
    """

    def __init__(
        self, head: nn.Linear, *, temperature: float, chunk_tokens: int, entropy_gradient: bool = False
    ) -> None:
        super().__init__()
        self.weight = head.weight
        self.bias = head.bias
        self._temperature, self._chunk_tokens = temperature, chunk_tokens
        self._entropy_gradient = entropy_gradient

    def forward(self, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return chunked_logprobs(
            hidden,
            targets,
            self._logits,
            temperature=self._temperature,
            chunk_tokens=self._chunk_tokens,
            entropy_gradient=self._entropy_gradient,
        )

    def _logits(self, hidden: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.float()
        return functional.linear(hidden.float(), self.weight.float(), bias)


def load_policy(path: Path, *, dtype: torch.dtype, **options: Any) -> Policy:
    """The model in the folder `path`; only safetensors are read and no code of the folder is run.

    `options`: those of `as_policy`.
    """
    lm = AutoModelForCausalLM.from_pretrained(
        path, dtype=dtype, attn_implementation=NAME, use_safetensors=True, trust_remote_code=False
    )
    return as_policy(lm, **options)


def as_policy(
    lm: Any,
    *,
    temperature: float,
    chunk_tokens: int,
    gradient_checkpointing: bool = False,
    entropy_gradient: bool = False,
) -> Policy:
    """Turns a Hugging Face causal LM into a policy; the LM is changed in place.

    `entropy_gradient`: entropies have a gradient, for an entropy bonus.
    """
    lm.set_attn_implementation(NAME)
    head = lm.get_output_embeddings()
    lm.set_output_embeddings(
        TokenHead(head, temperature=temperature, chunk_tokens=chunk_tokens, entropy_gradient=entropy_gradient)
    )
    if gradient_checkpointing:
        lm.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    lm.train()
    return Policy(lm)


def save_configuration(policy: Policy, model_path: Path, folder: Path) -> None:
    """Writes all files of a Hugging Face folder except the weights: the config, and copies of the other files."""
    for source in sorted(model_path.iterdir()):
        if source.is_file() and not source.name.endswith(_WEIGHT_FILES):
            shutil.copyfile(source, folder / source.name)
    lm: Any = policy.lm
    lm.config.save_pretrained(folder)
