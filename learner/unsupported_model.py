"""Refusals of a model, each with what would work."""

from broker.errors import UsageError

UNPACKED = "learner.packing=off runs one sequence in a row, with the model's own attention"
"""The remedy for a model that cannot run packed rows."""


class UnsupportedModel(UsageError):
    """The learner cannot compute this model's probabilities. The message names the part and the remedy."""

    final = True


class CannotPack(UnsupportedModel):
    """Packed rows would not give this model's probabilities; its own attention does."""

    def __init__(self, architecture: str, reason: str) -> None:
        super().__init__(f"{architecture} cannot run packed rows: {reason}; {UNPACKED}")

    def __reduce__(self) -> tuple[type[UnsupportedModel], tuple[object, ...]]:
        """Crosses processes as its base class, with its message."""
        return UnsupportedModel, self.args
