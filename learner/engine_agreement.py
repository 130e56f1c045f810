"""The learner's policy against the engine's: both must give rollouts of lag 0 the same log-probabilities.

A token of lag 0 was sampled with the weights that the learner holds before the step, so that the two differ only by
arithmetic. A larger difference means that the learner would train another policy than the one that was sampled from.

Only rollouts that are of lag 0 as a whole, prompt included, are compared. After an in-flight update a rollout continues
on keys and values that the weights before the update computed (PipelineRL), which no forward pass of the learner
repeats; so does a request that waited during a weight sync and finds its prompt in the prefix cache.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from broker.errors import PopeError
from broker.records import TrainGroup
from learner.batch_feed import Row
from learner.ranks import Ranks

OUTLIERS = 0.01
"""Share of the tokens, at least one on each rank, that the bound disregards: those that differ most. In bfloat16 a
single token may differ by several nats."""


class EngineDisagrees(PopeError):
    """Learner and engine give the same tokens other log-probabilities under the same weights."""

    final = True


@dataclass(frozen=True)
class Agreement:
    """Differences log pi - log pi_behaviour of the rollouts of lag 0 in one step, nats."""

    num_tokens: int
    rms: float
    """Root mean square over all of them."""
    typical_rms: float
    """The same without the outliers; 0 when no other token is left."""
    largest: float
    """Largest absolute difference."""


class FreshTokens:
    """Collects the differences of the rollouts of lag 0 over the rows of a rank; `reduce` compares all ranks'.

    Oracle solutions and rollouts without a reward are left out, as they are in all token statistics.
    """

    def __init__(self, groups: Sequence[TrainGroup], step: int) -> None:
        """`groups`: of the batch; step s updates version s - 1."""
        self._groups = {group.rollout_group.group_id: group.rollout_group for group in groups}
        self._version = step - 1
        self._differences: list[Tensor] = []

    def add(self, row: Row, logprobs: Tensor) -> None:
        """logprobs [N]: of the row's trained tokens, under the policy before the step."""
        fresh = self._is_fresh(row)
        if fresh.any():
            differences = (logprobs.detach().double() - row.behaviour_logprobs.double()).cpu()
            self._differences.append(differences[fresh])

    def _is_fresh(self, row: Row) -> Tensor:
        """bool [N]"""
        fresh = []
        for group_id, index in row.rollouts:
            group = self._groups[group_id]
            rollout = group.rollouts[index]
            fresh.append(np.full(rollout.num_tokens, group.is_wholly_of(self._version, rollout)))
        return torch.from_numpy(np.concatenate(fresh)) if fresh else torch.zeros(0, dtype=torch.bool)

    def reduce(self, ranks: Ranks) -> Agreement | None:
        """The agreement of the step; None when no rollout has lag 0. Called on all ranks."""
        squares = torch.cat(self._differences).square() if self._differences else torch.zeros(0, dtype=torch.float64)
        num_outliers = min(len(squares), max(1, round(OUTLIERS * len(squares))))
        typical = squares.sort().values[: len(squares) - num_outliers]
        sums = torch.tensor([len(squares), squares.sum(), len(typical), typical.sum()], dtype=torch.float64)
        count, total, typical_count, typical_total = ranks.sum(sums).tolist()
        largest = ranks.max(squares.max().reshape(1) if len(squares) else torch.zeros(1, dtype=torch.float64)).item()
        if not count:
            return None
        return Agreement(
            num_tokens=int(count),
            rms=(total / count) ** 0.5,
            typical_rms=(typical_total / max(typical_count, 1.0)) ** 0.5,
            largest=largest**0.5,
        )


def require_agreement(agreement: Agreement | None, bound: float, *, step: int, packing: str) -> None:
    """Raises EngineDisagrees when the rollouts of lag 0 typically differ by more than `bound`, before `step` is taken.

    `packing`: `learner.packing`. Log-probabilities that are not a number pass: their gradient is not finite, so that
    the step is skipped.
    """
    if agreement is not None and agreement.typical_rms > bound:
        raise EngineDisagrees(
            f"step {step}: learner and engine disagree under the same weights: log pi - log pi_behaviour has a root "
            f"mean square of {agreement.typical_rms:.3g} nats without outliers ({agreement.rms:.3g} with them, largest "
            f"{agreement.largest:.3g}) over {agreement.num_tokens} tokens of lag 0, the bound is {bound:g}. "
            f"Nothing of the step was trained. {_advice(step, packing)}"
        )


def _advice(step: int, packing: str) -> str:
    """Likely causes and what to do."""
    if step > 1:
        return (
            "The first step agreed, so a weight sync loaded other weights or the two drift apart in model.dtype: set "
            "weights.backend=file and weights.canary_every=1, or model.dtype=float32, and continue in a new run with "
            "model.path set to the newest checkpoint"
        )
    rows, remedy = "", "model.dtype=float32"
    if packing == "on":
        rows, remedy = ", or packed rows change it", f"learner.packing=off, then {remedy}"
    return (
        "Likely causes: engine and learner implement this architecture differently (scaling or soft cap of logits, "
        f"attention, positions, padded vocabulary){rows}, or rounding in model.dtype. Try {remedy}; a model that still "
        "differs cannot be trained"
    )
