"""The runs of a sweep, one after another or a few at once.

consumes    the plan, and what each run's folder says
waits for   children to end
unblocked by the user's signal: nothing new starts, every child is interrupted and has PATIENCE_S to end in order
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from deploy.sweep.children import Child
from deploy.sweep.existing_runs import Found, find, summary_of
from deploy.sweep.plan import PlannedRun

TICK_S = 0.5
PATIENCE_S = 300.0
"""An interrupted run writes a checkpoint, its summary and its figure; slower than this it is ended."""
_SIGNALLED = (130, 143)

State = Literal["waiting", "running", "finished", "failed", "interrupted"]


@dataclass
class Progress:
    """Where one run is."""

    run: PlannedRun
    found: Found
    """What its folder said before this sweep."""
    state: State = "waiting"
    summary: dict[str, Any] | None = None
    """Its summary.json once it is finished."""
    note: str = ""
    """What it printed last; why it failed."""
    started: float = 0.0
    wall_s: float = 0.0
    """Of this call alone, seconds."""


Start = Callable[[PlannedRun, bool], Child]
"""(run, whether to resume it) -> the run as a child."""


class Runner:
    """Brings every run of a sweep to its end."""

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
        self.rows = [Progress(run, "new" if fresh else find(run)) for run in runs]
        for row in self.rows:
            if row.found == "finished":
                row.state, row.summary = "finished", summary_of(row.run)
        self._start = start
        self.at_once = at_once
        self._stop_on_failure = stop_on_failure
        self._children: dict[str, Child] = {}
        self._stopped_at: float | None = None

    def run(self, show: Callable[[Sequence[Progress]], None]) -> None:
        """Until every run has ended, or all that were started have after a stop. `show` is called at every look."""
        try:
            while self._start_next() or self._children:
                self._look()
                show(self.rows)
                time.sleep(TICK_S)
        finally:  # empty unless something was raised
            for child in self._children.values():
                child.end()
        show(self.rows)

    def stop(self, reason: str) -> None:
        """Start nothing more and ask the children to end in order."""
        self._stopped_at = time.monotonic()
        for child in self._children.values():
            child.interrupt()

    @property
    def failed(self) -> list[Progress]:
        return [row for row in self.rows if row.state == "failed"]

    def _start_next(self) -> bool:
        """Start what may start; whether anything is still to be started."""
        waiting = [row for row in self.rows if row.state == "waiting"]
        if self._stopped_at is not None or (self._stop_on_failure and self.failed):
            return False
        for row in waiting[: self.at_once - len(self._children)]:
            row.state, row.started = "running", time.monotonic()
            self._children[row.run.name] = self._start(row.run, row.found == "begun")
        return bool(waiting)

    def _look(self) -> None:
        for row in self.rows:
            child = self._children.get(row.run.name)
            if child is None:
                continue
            row.wall_s = time.monotonic() - row.started
            row.note = child.last_line()
            if self._stopped_at is not None and time.monotonic() - self._stopped_at > PATIENCE_S:
                child.end()
            code = child.poll()
            if code is not None:
                del self._children[row.run.name]
                self._end(row, code)

    def _end(self, row: Progress, code: int) -> None:
        if code == 0 and (summary := summary_of(row.run)) is not None:
            row.state, row.summary, row.note = "finished", summary, ""
        elif code in _SIGNALLED or self._stopped_at is not None:
            row.state = "interrupted"
        else:
            row.state = "failed"
            row.note = f"exit code {code}: {row.note}" if code else "it left no summary.json: is run.root shared?"
