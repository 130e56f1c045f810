"""The arithmetic peak of this machine, measured: the denominator of the model FLOPs utilization."""

import time
from functools import cache

import torch
from torch import Tensor

BUDGET_S = 0.1
"""About how long the measurement takes, seconds."""
SIZES = {"cpu": (128, 256, 512, 1024), "cuda": (1024, 2048, 4096)}
"""Sizes n of the square matrices. Larger ones are nearer to the peak, but take long where a type has no fast kernel."""


@cache
def peak_flops(dtype: torch.dtype, device: torch.device) -> float:
    """FLOPs a second of the fastest square matrix product in `dtype`, with the threads this process uses.

    Measured once per process. Other work on the machine lowers it: the fastest of several products counts.
    """
    random = torch.Generator(device).manual_seed(0)  # of its own: the state of the global one is part of a checkpoint
    deadline, best = time.perf_counter() + BUDGET_S, 0.0
    for n in SIZES[device.type]:
        matrix = torch.rand((n, n), generator=random, device=device).to(dtype)
        _product_s(matrix)  # the first product of a size chooses its kernel
        took_s = _product_s(matrix)
        best = max(best, 2 * n**3 / took_s)
        while n == SIZES[device.type][-1] and time.perf_counter() < deadline:
            best = max(best, 2 * n**3 / _product_s(matrix))
        if time.perf_counter() + 2 * 8 * took_s > deadline:
            break
    return best


def _product_s(matrix: Tensor) -> float:
    """Seconds of one product."""
    if matrix.device.type == "cuda":
        torch.cuda.synchronize(matrix.device)
    start = time.perf_counter()
    torch.mm(matrix, matrix)
    if matrix.device.type == "cuda":
        torch.cuda.synchronize(matrix.device)
    return time.perf_counter() - start
