"""CPU time measured against this machine at this moment: a limit in seconds would judge the machine and its load."""

import time
from collections.abc import Callable


def cpu_time_s(work: Callable[[], object]) -> float:
    """CPU time of one call of `work` in this process, in seconds."""
    began = time.process_time()
    work()
    return time.process_time() - began


def loop_s() -> float:
    """CPU time of a loop over a million characters, in seconds; about 0.04 on a core of 2024."""

    def loop() -> None:
        for character in "}" * 1_000_000:
            ord(character)

    return cpu_time_s(loop)


def loops(work: Callable[[], object]) -> float:
    """CPU time of `work` as a multiple of `loop_s`: the smallest of three attempts, or the first below one loop.

    Quadratic work on a long text takes hundreds of loops; what a busy machine adds to linear work is a factor of two.
    """
    smallest = float("inf")
    for _ in range(3):
        smallest = min(smallest, cpu_time_s(work) / loop_s())
        if smallest < 1.0:
            break
    return smallest
