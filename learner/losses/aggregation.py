"""Aggregation of token losses over a step. The result does not depend on the split into rows and ranks.

With T trained tokens in the step, S trained sequences, |o| tokens in the token's sequence and L the limit on the tokens
of a rollout, a token's loss is divided by

    token_mean      T        DAPO (arXiv 2503.14476) eq. 12: equal weight of all tokens
    sequence_mean   S |o|    GRPO (arXiv 2402.03300) eq. 3: equal weight of all sequences
    sequence_sum    S        PipelineRL (arXiv 2509.19128): token_mean times the mean length
    constant        S L      Dr. GRPO (arXiv 2503.20783) section 3.2: token_mean with a divisor independent of lengths

T and S count all rows of all ranks. A sequence is never split between rows.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class WholeStep:
    """What the loss of a token depends on outside its row. Counts are over all ranks."""

    num_tokens: int
    """Trained tokens."""
    num_sequences: int
    """Trained rollouts."""
    max_completion_tokens: int
    """`actors.max_completion_tokens`."""
    version: int = 0
    """The policy version that the step updates."""
    square_max: float = math.inf
    """Of the mask `second_moment`: the largest (log ratio)^2 that is kept."""


def token_shares(aggregation: str, sequences: Tensor, whole: WholeStep) -> Tensor:
    """[N]: factor of each token's loss; sequences [N]: number of the token's rollout in the row."""
    if aggregation == "token_mean":
        divisor = torch.full_like(sequences, max(1, whole.num_tokens))
    elif aggregation == "sequence_mean":
        divisor = sequences.bincount()[sequences] * max(1, whole.num_sequences)
    elif aggregation == "sequence_sum":
        divisor = torch.full_like(sequences, max(1, whole.num_sequences))
    else:
        divisor = torch.full_like(sequences, max(1, whole.num_sequences) * whole.max_completion_tokens)
    return 1.0 / divisor
