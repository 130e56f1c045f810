"""The ratio masks by name: which tokens keep their policy loss.

With w = pi(token) / pi_behaviour(token), [lo, hi] = [`learner.mask_min`, `learner.mask_max`] and tau =
`learner.second_moment_max`, a token is kept if

    token           lo <= w <= hi                          IcePop (Ring-1T, arXiv 2510.18855, eq. 1), and INTELLECT-3
                                                           (arXiv 2512.16144) with [0.5, 5]
    sequence        lo <= product of w <= hi               Seq-MIS of Liu and Li et al. ("When Speed Kills Stability",
                                                           2025); product over the token's sequence
    sequence_mean   lo <= geometric mean of w <= hi        their geometric variant, Geo-MIS; bounds close to 1
    second_moment   it is not among the largest            M2PO (arXiv 2510.01161) algorithm 1: of the tokens that eq. 2
                                                           would push away from the behaviour, the largest (log w)^2
                                                           are masked until the mean of the others is at most tau

A mask removes the gradient for both signs of A, where eq. 2 keeps one and truncation caps both. A masked token stays in
the divisors of the aggregation (M2PO, footnote 2), and keeps its KL and entropy terms: they do not depend on the
behaviour. At w = 1 nothing is masked.

The threshold of `second_moment` is a property of the whole step; `learner/second_moment.py` computes it first.
"""

import math

import torch
from torch import Tensor

from learner.losses.policy import sequence_log_mean, sequence_log_sum

MASKS_OF_SEQUENCES = ("sequence", "sequence_mean")
"""Those by the ratio of a sequence."""


def kept(
    ratio_mask: str,
    log_ratio: Tensor,
    advantages: Tensor,
    sequences: Tensor,
    *,
    mask_min: float,
    mask_max: float,
    square_max: float,
) -> Tensor:
    """bool [N]. log_ratio [N]: log w, without gradient; sequences [N]: number of the token's sequence.

    `square_max`: of `second_moment`, from `second_moment_threshold`.
    """
    if ratio_mask == "none":
        return torch.ones_like(log_ratio, dtype=torch.bool)
    if ratio_mask == "second_moment":
        return ~moves_away(log_ratio, advantages) | (log_ratio.square() <= square_max)
    if ratio_mask == "sequence":
        log_ratio = sequence_log_sum(log_ratio, sequences)
    elif ratio_mask == "sequence_mean":
        log_ratio = sequence_log_mean(log_ratio, sequences)
    ratio = log_ratio.exp()
    return (mask_min <= ratio) & (ratio <= mask_max)


def moves_away(log_ratio: Tensor, advantages: Tensor) -> Tensor:
    """bool [N]: the tokens that eq. 2 clips, A > 0 and w > 1 or A < 0 and w < 1 (M2PO, section 5.2)."""
    return log_ratio * advantages > 0


def second_moment_threshold(squares: Tensor, second_moment_max: float) -> float:
    """The value of (log w)^2 above which tokens are masked; inf when none is.

    squares [n]: (log w)^2 of the step's tokens that `moves_away` names, in any order. Algorithm 1 masks the largest
    while the mean of the others exceeds tau; here tokens of equal squares share their fate. The threshold lies halfway
    between the last square that is kept and the first that is not, so that rounding moves no token across it.
    """
    ascending = squares.double().sort().values
    means = ascending.cumsum(0) / torch.arange(1, len(ascending) + 1, dtype=torch.float64, device=ascending.device)
    num_kept = int((means <= second_moment_max).sum())  # the means ascend, too
    if num_kept == len(ascending):
        return math.inf
    masked = float(ascending[num_kept])
    below = ascending[ascending < masked]
    return (float(below[-1]) + masked) / 2 if len(below) else masked / 2
