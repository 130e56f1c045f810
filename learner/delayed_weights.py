"""Holds weights back for `learner.forced_lag` optimizer steps, for studies of staleness."""

from collections import deque

from torch import Tensor


class DelayedWeights:
    """The newest `delay` + 1 sets of weights, in main memory.

    After a resume the older ones are gone: the version that is due is then the oldest that is held, newer than it would
    be, until `delay` steps have been trained.
    """

    def __init__(self, delay: int) -> None:
        """`delay`: optimizer steps between a version and its publication; 0 publishes at once."""
        self._held: deque[tuple[int, dict[str, Tensor]]] = deque(maxlen=delay + 1)

    def add(self, version: int, weights: dict[str, Tensor]) -> tuple[int, dict[str, Tensor]]:
        """Holds the weights of a version, newer than all before. Returns the version that is due and its weights."""
        self._held.append((version, weights))
        return self._held[0]
