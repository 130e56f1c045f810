"""The interface of a backend that publishes new weights to the engines (arrow 10, learner side)."""

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
        """Publishes a version, unless the board has this version or a newer one. May raise PublishError.

        A resumed learner that trains batches again publishes nothing: the engines keep their weights until a newer
        version. On a CPU these weights are bit-identical. On a GPU they may differ by rounding; the ratios remain
        correct, because every token has the log-probability it was sampled with.
        """
        ...

    def close(self) -> None:
        """Releases the resources of this process."""
        ...
