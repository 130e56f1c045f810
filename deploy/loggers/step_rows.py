"""All numbers of a run by optimizer step, for loggers, which want each step once and in ascending order. Pure.

A step is complete when the learner has reported a later one. A report that comes when its step was taken already, such
as that of an engine that lags behind, counts towards the first step that was not taken: sums over all steps are exact.
"""

import math
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from broker.reports import ActorOutput, GroupEnd, PreprocessWork, RoleTimes, SftStep, WeightSync
from deploy.dashboard.steps import Steps
from deploy.store.run_view import Reports
from deploy.store.step_numbers import Rows, StepNumbers

Work = TypeVar("Work", WeightSync, ActorOutput, GroupEnd, PreprocessWork)


class StepRows:
    """Collects reports; `take` returns rows and forgets them."""

    def __init__(self) -> None:
        self._numbers, self._derived = StepNumbers(), Steps()
        self._times: list[RoleTimes] = []
        """Those that are newer than the newest step, to which the next step will belong."""
        self._ends: list[tuple[float, int]] = []
        """(unix seconds, step) of the learner's reports that were not taken, ascending."""
        self._first = 0
        """The first step that was not taken."""

    @property
    def complete(self) -> int:
        """The steps below this one are complete."""
        return self._ends[-1][1] if self._ends else self._first

    def add(self, reports: Reports, sft: Iterable[SftStep] = ()) -> None:
        """Reports that were added already must not be among them."""
        steps = [report for report in reports.learner if report.step >= self._first]
        self._numbers.add_steps(steps)
        self._numbers.add_steps((report for report in sft if report.step >= self._first), prefix="sft/")
        self._ends += ((report.unix_s, report.step) for report in steps)
        groups, outputs = self._in_time(reports.groups), self._in_time(reports.outputs)
        for work in (self._in_time(reports.syncs), outputs, groups, self._in_time(reports.preprocess)):
            self._numbers.add_work(work)
        self._derived.add_groups(groups)
        self._derived.add_outputs(outputs)
        self._times += reports.times
        self._place_times(until_s=self._ends[-1][0] if self._ends else -math.inf)

    def skip(self, below: int) -> None:
        """Forget the steps below this one, which were written by an earlier process."""
        self.take(below)
        if not self._ends:  # all steps were written, and with the last one the times after it
            self._times = []

    def take(self, below: int) -> Rows:
        """The rows of the steps below this one, ascending; names are sorted."""
        self._first = max(self._first, below)
        return self._take(below)

    def take_rest(self) -> Rows:
        """All rows, complete or not."""
        self._place_times(until_s=math.inf)
        rows = self._take(math.inf)
        self._first = max([self._first, *(step + 1 for step in rows)])
        return rows

    def _take(self, below: float) -> Rows:
        rows = self._numbers.take(below)
        for step in [step for step in self._derived.rows if step < below]:
            rows.setdefault(step, {}).update(self._derived.rows.pop(step))
        self._ends = [end for end in self._ends if end[1] >= below]
        return {step: dict(sorted(rows[step].items())) for step in sorted(rows)}

    def _in_time(self, reports: Iterable[Work]) -> list[Work]:
        """The reports, late ones moved to the first step that was not taken."""
        return [report if _step(report) >= self._first else _moved(report, self._first) for report in reports]

    def _place_times(self, until_s: float) -> None:
        due = [report for report in self._times if report.unix_s <= until_s]
        self._times = [report for report in self._times if report.unix_s > until_s]
        self._numbers.add_times(due, self._ends or [(math.inf, self._first)])


def _step(report: Work) -> int:
    return report.version if isinstance(report, WeightSync | ActorOutput) else report.step


def _moved(report: Work, step: int) -> Work:
    field = "version" if isinstance(report, WeightSync | ActorOutput) else "step"
    return msgspec.structs.replace(report, **{field: step})
