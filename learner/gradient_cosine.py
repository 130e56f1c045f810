"""Cosines between the gradients of a step's parts.

The gradient of a part is that of the step's loss restricted to the part's tokens; the gradients of all parts sum to the
gradient of the step. A negative cosine between the easy and the hard bucket is interference (POPE section 3.2).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from broker.records import TrainGroup
from conf.schema import LearnerSettings
from learner.batch_feed import build_step
from learner.deepspeed_engine import DeepSpeedEngine
from learner.expected_gradient import Objective
from learner.interference import parts
from learner.ranks import Ranks

CHUNK = 2**20
"""Elements of a gradient that are converted to float64 and multiplied at once."""


@dataclass(frozen=True)
class Cosines:
    """Norms and cosines of the gradients of a step's parts; all numbers are finite."""

    norms: dict[str, float]
    """Part -> L2 norm of its gradient."""
    cosines: dict[str, float]
    """"A/B" -> cosine, of each pair of parts and each pair of buckets."""


def gradient_cosines(
    engine: DeepSpeedEngine, groups: Sequence[TrainGroup], objective: Objective, settings: LearnerSettings
) -> Cosines:
    """`cosines` of the gradients of this step at the current weights; empty when the step has only one part.

    Takes about as long as training the step, and main memory for a float32 gradient of each part. Called on all ranks.
    """
    groups_of = parts(groups)
    if len(groups_of) < 2:
        return Cosines({}, {})
    ranks = engine.ranks
    steps = [
        build_step(
            part,
            row_tokens=settings.row_tokens,
            rank=ranks.rank,
            world_size=ranks.world_size,
            packing=settings.packing,
        )
        for part in groups_of.values()
    ]
    gradients = [engine.gradient(step.rows, objective) for step in steps]
    return cosines(list(groups_of), inner_products(gradients, ranks))


def inner_products(gradients: Sequence[Sequence[Tensor]], ranks: Ranks) -> NDArray[np.float64]:
    """[P, P] inner products of P gradients, each given as one tensor per parameter and summed over the ranks first."""
    products = torch.zeros(len(gradients), len(gradients), dtype=torch.float64)
    for of_parameter in zip(*gradients, strict=True):
        stacked = ranks.sum(torch.stack([gradient.flatten() for gradient in of_parameter]))
        for chunk in stacked.split(CHUNK, dim=1):
            products += chunk.double() @ chunk.double().T
    return products.numpy()


def cosines(names: Sequence[str], products: NDArray[np.float64]) -> Cosines:
    """The norm of each part's gradient, and the cosine of each pair of parts and of buckets.

    `names` are parts, ascending, in the order of the [P, P] inner products. The gradient of a bucket is the sum of
    those of its arms. A gradient that is zero or not finite has no cosine.
    """
    buckets = sorted({name.partition("/")[0] for name in names})
    is_member = np.asarray([[name.partition("/")[0] == bucket for name in names] for bucket in buckets], dtype=float)
    found = {}
    for level, table in ((buckets, is_member @ products @ is_member.T), (names, products)):
        for i, j in combinations(range(len(level)), 2):
            norms = math.sqrt(max(table[i, i], 0.0)) * math.sqrt(max(table[j, j], 0.0))  # arms may cancel to -1e-20
            if norms > 0:
                found[f"{level[i]}/{level[j]}"] = table[i, j] / norms
    return Cosines(_finite({name: math.sqrt(products[i, i]) for i, name in enumerate(names)}), _finite(found))


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}
