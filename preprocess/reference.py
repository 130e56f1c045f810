"""Log-probabilities of a group's tokens under the frozen initial model, for the KL term.

The model is loaded once, when `learner.kl_coef` is set, from the folder the run started from, and takes no weight
updates. Packages of roles do not import each other, so this is a separate forward pass, one sequence at a time; a test
compares it with the packed one of the learner.
"""

import inspect
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForCausalLM
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_outputs import BaseModelOutputWithPast

from broker.records import RolloutGroup, float32_bytes, int32_array


class ReferenceModel:
    """log pi_ref under softmax(logits / temperature); the body runs in the model's dtype, the LM head in float32."""

    def __init__(self, lm: Any, *, temperature: float, chunk_tokens: int, device: torch.device) -> None:
        """`chunk_tokens`: positions that are projected onto the vocabulary at once."""
        self._lm = lm.to(device).eval().requires_grad_(False)
        self._lm.set_output_embeddings(_Float32Head(lm.get_output_embeddings()))
        self._body_name, self._body = next(
            (name, child)
            for name, child in lm.named_children()
            if any(module is lm.get_input_embeddings() for module in child.modules())
        )
        self._temperature, self._chunk_tokens, self._device = temperature, chunk_tokens, device

    @torch.inference_mode()
    def __call__(self, group: RolloutGroup) -> tuple[bytes, ...]:
        """float32[T], nats, of each rollout, in the form of `TrainGroup.reference_logprobs`."""
        prompt = int32_array(group.prompt_ids).tolist()
        return tuple(
            float32_bytes(self._logprobs(prompt, int32_array(rollout.token_ids).tolist()).cpu().numpy())
            for rollout in group.rollouts
        )

    def _logprobs(self, prompt: list[int], rollout: list[int]) -> Tensor:
        """float32 [T] of the rollout's T tokens."""
        ids = torch.tensor([prompt + rollout], device=self._device)
        hidden = self._body(input_ids=ids, use_cache=False).last_hidden_state[0, len(prompt) - 1 : -1]
        chunks = zip(hidden.split(self._chunk_tokens), ids[0, len(prompt) :].split(self._chunk_tokens), strict=True)
        return torch.cat([self._chunk(h, targets) for h, targets in chunks])

    def _chunk(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """The model's own forward pass with given hidden states in place of its body: it may scale or cap logits."""
        self._lm.set_submodule(self._body_name, _Given(hidden.float().unsqueeze(0)))
        try:
            ids = torch.zeros(1, len(hidden), dtype=torch.int64, device=self._device)  # of which only the shape matters
            logits = self._lm(input_ids=ids, use_cache=False).logits[0] / self._temperature
        finally:
            self._lm.set_submodule(self._body_name, self._body)
        return torch.log_softmax(logits, dim=-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)


class _Given(nn.Module):
    """Stands in for a base model: returns given hidden states."""

    def __init__(self, hidden: Tensor) -> None:
        super().__init__()
        self._hidden: Any = hidden

    def forward(self, *_: Any, **__: Any) -> BaseModelOutputWithPast:
        return BaseModelOutputWithPast(last_hidden_state=self._hidden)


class _Float32Head(nn.Module):
    """An LM head that computes in float32 for any dtype of its weight."""

    def __init__(self, head: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = head.weight, head.bias

    def forward(self, hidden: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.float()
        return functional.linear(hidden.float(), self.weight.float(), bias)


def load_reference(
    model_path: Path, *, dtype: str, device: str, temperature: float, chunk_tokens: int
) -> ReferenceModel:
    """The model in the folder `model_path`; only safetensors are read and no code of the folder is run.

    `dtype`, `device`: `model.dtype`, `deploy.device`.
    """
    lm = AutoModelForCausalLM.from_pretrained(
        model_path, dtype=getattr(torch, dtype), use_safetensors=True, trust_remote_code=False
    )
    if not _sdpa_is_complete(lm):
        lm.set_attn_implementation("eager")
    return ReferenceModel(lm, temperature=temperature, chunk_tokens=chunk_tokens, device=torch.device(device))


def _sdpa_is_complete(lm: Any) -> bool:
    """Whether the plain attention of the architecture takes nothing that `sdpa` leaves out, such as a soft cap."""
    plain = getattr(sys.modules[type(lm).__module__], "eager_attention_forward", None)
    known = inspect.signature(sdpa_attention_forward).parameters
    return plain is None or set(inspect.signature(plain).parameters) <= set(known)
