"""The learning rate of supervised training; pure."""

import math


def warmup_then_linear(step: int, num_steps: int, warmup_share: float) -> float:
    """Share of the peak learning rate at step 1, ..., `num_steps`: rises linearly over the first `warmup_share` of the
    steps, then falls linearly to zero at step `num_steps` + 1."""
    warmup = max(1, math.ceil(warmup_share * num_steps))
    return min(step / warmup, (num_steps - step + 1) / max(1, num_steps - warmup))
