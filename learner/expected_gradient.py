"""The gradient of a row's loss, told to the head before the log-probabilities of the whole row are known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from learner.batch_feed import Row


class Objective(Protocol):
    """What is trained. The loss of a row is a sum over its rollouts."""

    @property
    def couples_tokens(self) -> bool:
        """Whether the loss of a token depends on the log-probabilities of the other tokens of its rollout."""

    def total(self, row: Row, logprobs: Tensor, entropies: Tensor) -> Tensor:
        """The loss of the row, a scalar; logprobs, entropies [N]."""


@dataclass(frozen=True)
class ExpectedOfRow:
    """`learner.logprobs.ExpectedGradient` of `scale` times the objective."""

    row: Row
    objective: Objective
    scale: float = 1.0

    @property
    def units(self) -> Sequence[int] | None:
        if not self.objective.couples_tokens:
            return None
        return [length for _, rollouts in self.row.layout for length in rollouts]

    def __call__(self, tokens: slice, logprobs: Tensor, entropies: Tensor) -> tuple[Tensor, Tensor]:
        leaves = tuple(part.detach().requires_grad_() for part in (logprobs, entropies))
        with torch.enable_grad():
            total = self.objective.total(self.row, *leaves) * self.scale
        of_logprobs, of_entropies = torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)
        return of_logprobs[tokens], of_entropies[tokens]
