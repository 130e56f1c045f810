"""Ends training when the gradient is not finite in several consecutive steps."""

import logging

from broker.errors import PopeError

log = logging.getLogger(__name__)

MAX_SKIPPED = 5
"""Number of consecutive steps with a gradient that is not finite that ends training."""


class TrainingDiverged(PopeError):
    """The gradient was not finite in `MAX_SKIPPED` steps in a row."""

    final = True


class SkippedSteps:
    """Counts consecutive steps that were skipped because their gradient was not finite."""

    def __init__(self, remedy: str) -> None:
        """`remedy`: advice for the error message, such as `lower learner.learning_rate=0.1`."""
        self._remedy = remedy
        self._in_a_row = 0

    def add(self, step: int, *, applied: bool) -> None:
        """Counts one step. Raises TrainingDiverged at the `MAX_SKIPPED`th consecutive skipped step."""
        self._in_a_row = 0 if applied else self._in_a_row + 1
        if self._in_a_row == MAX_SKIPPED:
            raise TrainingDiverged(
                f"the gradient was not finite in {MAX_SKIPPED} steps up to {step}; {self._remedy}"
            )
        if not applied:
            log.warning("step %d was skipped: its gradient is not finite", step)
