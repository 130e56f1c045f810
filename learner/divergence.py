"""When training has come off the rails: gradients that stay not finite."""

import logging

from broker.errors import PopeError

log = logging.getLogger(__name__)

MAX_SKIPPED = 5
"""Steps in a row whose gradient may be not finite before training ends."""


class TrainingDiverged(PopeError):
    """Gradients stay not finite."""

    final = True


class SkippedSteps:
    """Counts the steps in a row that changed nothing."""

    def __init__(self, remedy: str) -> None:
        """`remedy`: what the user should do, such as `lower learner.learning_rate=0.1`."""
        self._remedy = remedy
        self._in_a_row = 0

    def look(self, step: int, *, applied: bool) -> None:
        """Raises TrainingDiverged at the last step that may be skipped."""
        self._in_a_row = 0 if applied else self._in_a_row + 1
        if self._in_a_row == MAX_SKIPPED:
            raise TrainingDiverged(
                f"the gradient was not finite in {MAX_SKIPPED} steps up to {step}; {self._remedy}"
            )
        if not applied:
            log.warning("step %d was skipped: its gradient is not finite", step)
