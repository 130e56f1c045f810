"""Executes the runs of a sweep, one after another or a few at once.

consumes    the plan and the folder of each run
waits for   children to end
unblocked by the user's signal: nothing new starts, every child is interrupted and has STOP_TIMEOUT_S to end
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from deploy.sweep.children import Child
from deploy.sweep.existing_runs import ExistingState, existing_state, read_summary
from deploy.sweep.plan import PlannedRun

TICK_S = 0.5
STOP_TIMEOUT_S = 300.0
"""Time an interrupted run has to write a checkpoint, its summary and its figure before it is terminated."""
_SIGNAL_CODES = (130, 143)

State = Literal["waiting", "running", "finished", "failed", "interrupted"]


@dataclass
class Progress:
    """The progress of one run."""

    run: PlannedRun
    existing: ExistingState
    """Its state before this call."""
    state: State = "waiting"
    summary: dict[str, Any] | None = None
    """The content of its summary.json once it is finished."""
    note: str = ""
    """The last line it printed; of a failed run, why it failed."""
    started: float = 0.0
    wall_s: float = 0.0
    """Duration in this call, seconds."""


Start = Callable[[PlannedRun, bool], Child]
"""(run, whether to resume it) -> the run as a child."""


class Runner:
    """Executes every run of a sweep."""

    def __init__(
        self,
        runs: Sequence[PlannedRun],
        start: Start,
        *,
        at_once: int = 1,
        fresh: bool = False,
        stop_on_failure: bool = False,
    ) -> None:
        """Raises UsageError when the folder of a run holds another run, before anything is started."""
        self.rows = [Progress(run, "new" if fresh else existing_state(run)) for run in runs]
        for row in self.rows:
            if row.existing == "finished":
                row.state, row.summary = "finished", read_summary(row.run)
        self._start = start
        self.at_once = at_once
        self._stop_on_failure = stop_on_failure
        self._children: dict[str, Child] = {}
        self._stopped_at: float | None = None

    def run(self, show: Callable[[Sequence[Progress]], None]) -> None:
        """Execute all runs; after a stop, only wait for those that were started. `show` gets every new state."""
        try:
            while self._start_next() or self._children:
                self._poll_children()
                show(self.rows)
                time.sleep(TICK_S)
        finally:  # there are no children left unless something was raised
            for child in self._children.values():
                child.terminate()
        show(self.rows)

    def stop(self, reason: str) -> None:
        """Start no further run and ask the children to stop gracefully."""
        self._stopped_at = time.monotonic()
        for child in self._children.values():
            child.interrupt()

    @property
    def failed(self) -> list[Progress]:
        return [row for row in self.rows if row.state == "failed"]

    def _start_next(self) -> bool:
        """Start as many runs as may run. Returns whether any run was still waiting."""
        waiting = [row for row in self.rows if row.state == "waiting"]
        if self._stopped_at is not None or (self._stop_on_failure and self.failed):
            return False
        for row in waiting[: self.at_once - len(self._children)]:
            row.state, row.started = "running", time.monotonic()
            self._children[row.run.name] = self._start(row.run, row.existing == "unfinished")
        return bool(waiting)

    def _poll_children(self) -> None:
        for row in self.rows:
            child = self._children.get(row.run.name)
            if child is None:
                continue
            row.wall_s = time.monotonic() - row.started
            row.note = child.last_line()
            if self._stopped_at is not None and time.monotonic() - self._stopped_at > STOP_TIMEOUT_S:
                child.terminate()
            code = child.poll()
            if code is not None:
                del self._children[row.run.name]
                self._end(row, code)

    def _end(self, row: Progress, code: int) -> None:
        if code == 0 and (summary := read_summary(row.run)) is not None:
            row.state, row.summary, row.note = "finished", summary, ""
        elif code in _SIGNAL_CODES or self._stopped_at is not None:
            row.state = "interrupted"
        else:
            row.state = "failed"
            row.note = f"exit code {code}: {row.note}" if code else "no summary.json was written: is run.root shared?"
