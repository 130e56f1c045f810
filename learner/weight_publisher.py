"""What the learner needs of a backend that carries new weights to the engines (arrow 10, the learner's end)."""

from collections.abc import Iterable
from typing import Protocol

from torch import Tensor

from broker.errors import PopeError
from broker.records import WeightAnnouncement


class PublishError(PopeError):
    """Weights could not be handed to the engines."""


class Publisher(Protocol):
    """What the learner needs of a backend; used on rank 0 only."""

    def publish(self, version: int, source: Iterable[tuple[str, Tensor]]) -> WeightAnnouncement:
        """Offer a version to the engines. Versions never go back: one the board has already is not offered again.

        That happens after a roll-back: the learner trains the batches since its checkpoint anew, and the engines keep
        what they hold until the first version beyond it. On a CPU the weights are the same to the last bit. On a GPU
        they may differ in rounding: tokens keep the log-probabilities they were sampled with, so ratios stay right.
        """
        ...

    def close(self) -> None:
        """Give up what this process holds."""
        ...
