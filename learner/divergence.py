"""Ends training that more steps would not help."""

import logging
from pathlib import Path

from broker.errors import PopeError

log = logging.getLogger(__name__)

MAX_SKIPPED = 5
"""Number of consecutive steps with a gradient that is not finite that ends training."""


class TrainingDiverged(PopeError):
    """The gradient was not finite in `MAX_SKIPPED` steps in a row."""

    final = True


class PolicyCollapsed(PopeError):
    """The policy became unhealthy again after the last rollback that is allowed."""

    final = True

    def __init__(self, step: int, reasons: str, rollbacks: int, healthy: Path, learning_rate: float) -> None:
        """`reasons`: of the watchdog. `healthy`: the newest healthy checkpoint. `learning_rate`: the present one."""
        super().__init__(
            f"step {step}: the policy collapses again after learner.watchdog.max_rollbacks={rollbacks} rollbacks "
            f"({reasons}); start a new run with model.path={healthy} and learner.learning_rate below "
            f"{learning_rate:g}, a smaller learner.max_lag or a larger learner.batch_samples"
        )


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
