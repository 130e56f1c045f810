"""Log-probabilities of a group's tokens under the frozen starting model, for the KL term. One door to transformers.

It is loaded once from the model the run started from and takes no weight update: whatever the policy becomes, the
reference stays. Loaded only when `learner.kl_coef` is set. Rooms do not import each other, so this is a plain forward
pass of its own, sequence by sequence; the tests hold it to the learner's packed one.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForCausalLM

from broker.records import RolloutGroup, float32_bytes, int32_array
from conf.schema import RunConfig


class Reference:
    """log pi_ref under softmax(logits / temperature); the body in the model's dtype, the LM head in float32."""

    def __init__(self, lm: Any, *, temperature: float, chunk_tokens: int, device: torch.device) -> None:
        """`chunk_tokens` positions are projected onto the vocabulary at once."""
        self._lm = lm.to(device).eval().requires_grad_(False)
        self._temperature, self._chunk_tokens, self._device = temperature, chunk_tokens, device

    @torch.inference_mode()
    def __call__(self, group: RolloutGroup) -> tuple[bytes, ...]:
        """One float32[T] a completion, as `TrainGroup.reference_logprobs` holds them."""
        prompt = int32_array(group.prompt_ids).tolist()
        return tuple(
            float32_bytes(self._logprobs(prompt, int32_array(completion.token_ids).tolist()).cpu().numpy())
            for completion in group.rollouts
        )

    def _logprobs(self, prompt: list[int], completion: list[int]) -> Tensor:
        """float32 [T] of the completion's T tokens."""
        ids = torch.tensor([prompt + completion], device=self._device)
        hidden = self._lm.base_model(input_ids=ids, use_cache=False).last_hidden_state[0, len(prompt) - 1 : -1]
        chunks = zip(hidden.split(self._chunk_tokens), ids[0, len(prompt) :].split(self._chunk_tokens), strict=True)
        return torch.cat([self._chunk(h, targets) for h, targets in chunks])

    def _chunk(self, hidden: Tensor, targets: Tensor) -> Tensor:
        head = self._lm.get_output_embeddings()
        bias = None if head.bias is None else head.bias.float()
        logits = functional.linear(hidden.float(), head.weight.float(), bias) / self._temperature
        return torch.log_softmax(logits, dim=-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def load_reference(config: RunConfig, model_path: Path) -> Reference:
    """The model in the folder the run started from, on `deploy.device`; safetensors only, no code of the folder."""
    lm = AutoModelForCausalLM.from_pretrained(
        model_path, dtype=getattr(torch, config.model.dtype), use_safetensors=True, trust_remote_code=False
    )
    return Reference(
        lm,
        temperature=config.actors.temperature,
        chunk_tokens=config.learner.logprob_chunk_tokens,
        device=torch.device(config.deploy.device),
    )
