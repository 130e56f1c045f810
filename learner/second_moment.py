"""The threshold of the mask `second_moment` (M2PO), a statistic over all tokens of a step."""

from collections.abc import Sequence

import torch

from learner.batch_feed import Row
from learner.deepspeed_engine import DeepSpeedEngine
from learner.losses.masks import moves_away, second_moment_threshold
from learner.losses.policy import token_log_ratio


def square_max(engine: DeepSpeedEngine, rows: Sequence[Row], second_moment_max: float) -> float:
    """The largest (log ratio)^2 that the step keeps, the same for every split into rows and ranks.

    One more forward pass over this rank's rows, about a third of a step's computation: the ratios of all tokens must be
    known before the first gradient, and no earlier step tells them. Called on all ranks.
    """
    found = [torch.zeros(0)]
    for cpu_row in rows:
        row = cpu_row.to(engine.device)
        with engine.accumulate(last=False, gradient=False):
            logprobs, _ = engine.forward(row)
        log_ratio = token_log_ratio(logprobs, row.behaviour_logprobs)
        counted = moves_away(log_ratio, row.advantages) & (row.weights > 0) & ~row.off_policy
        found.append(log_ratio[counted].square().float().cpu())
    return second_moment_threshold(engine.ranks.concatenate(torch.cat(found)), second_moment_max)
