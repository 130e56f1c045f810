"""The interface of a backend that publishes new weights to the engines (arrow 10, the learner's end)."""

from collections.abc import Iterable
from typing import Protocol

from torch import Tensor

from broker.errors import PopeError
from broker.records import WeightAnnouncement


class PublishError(PopeError):
    """Weights could not be published to the engines."""


class Publisher(Protocol):
    """Publishes policy versions; used on rank 0 only."""

    def publish(self, version: int, source: Iterable[tuple[str, Tensor]]) -> WeightAnnouncement:
        """Publish a version. A version that is not newer than the board's is not published again.

        That is the case when a resumed learner trains batches again: the engines keep their weights until a newer
        version comes. On a CPU the weights are equal to the last bit. On a GPU they may differ in rounding; every token
        keeps the log-probability it was sampled with, so the ratios are right.
        """
        ...

    def close(self) -> None:
        """Release what this process holds."""
        ...
