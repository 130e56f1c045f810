"""Log-probabilities of a group's tokens under the frozen initial model, for the KL term.

The model is loaded once, when `learner.kl_coef` is set, from the folder the run started from, and takes no weight
updates. Packages of roles do not import each other, so this is a separate forward pass, one sequence at a time; a test
compares it with the packed one of the learner.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForCausalLM

from broker.records import RolloutGroup, float32_bytes, int32_array


class ReferenceModel:
    """log pi_ref under softmax(logits / temperature); the body runs in the model's dtype, the LM head in float32."""

    def __init__(self, lm: Any, *, temperature: float, chunk_tokens: int, device: torch.device) -> None:
        """`chunk_tokens`: positions that are projected onto the vocabulary at once."""
        self._lm = lm.to(device).eval().requires_grad_(False)
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
        hidden = self._lm.base_model(input_ids=ids, use_cache=False).last_hidden_state[0, len(prompt) - 1 : -1]
        chunks = zip(hidden.split(self._chunk_tokens), ids[0, len(prompt) :].split(self._chunk_tokens), strict=True)
        return torch.cat([self._chunk(h, targets) for h, targets in chunks])

    def _chunk(self, hidden: Tensor, targets: Tensor) -> Tensor:
        head = self._lm.get_output_embeddings()
        bias = None if head.bias is None else head.bias.float()
        logits = functional.linear(hidden.float(), head.weight.float(), bias) / self._temperature
        return torch.log_softmax(logits, dim=-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def load_reference(
    model_path: Path, *, dtype: str, device: str, temperature: float, chunk_tokens: int
) -> ReferenceModel:
    """The model in the folder `model_path`; only safetensors are read and no code of the folder is run.

    `dtype`, `device`: `model.dtype`, `deploy.device`.
    """
    lm = AutoModelForCausalLM.from_pretrained(
        model_path, dtype=getattr(torch, dtype), use_safetensors=True, trust_remote_code=False
    )
    return ReferenceModel(lm, temperature=temperature, chunk_tokens=chunk_tokens, device=torch.device(device))
