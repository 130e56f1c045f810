"""Every number of a run by optimizer step, for charts: under one name each, with its group and unit. Pure.

Names and values are those of `pope export`. A long series is thinned to what a chart can show.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from actors.evaluation.results import Result
from broker.reports import RoleTimes
from deploy.dashboard.steps import Steps
from deploy.store.measurements import mean_pass_at_k
from deploy.store.metric_catalogue import EVALUATION, GROUP_ORDER, OTHER, metric_of
from deploy.store.run_view import Reports
from deploy.store.step_numbers import Column, StepNumbers

MOST_POINTS = 1000
"""Points of one series that are sent."""


class MetricName(msgspec.Struct, frozen=True):
    """One number; fields as in `deploy/store/metric_catalogue.py`."""

    name: str
    family: str
    line: str
    group: str
    unit: str


class Series(msgspec.Struct, frozen=True):
    """One number over the steps that have it."""

    name: str
    steps: list[int]
    values: list[float]
    known: int
    """Number of values in the range; more than `steps` when the series was thinned."""


class MetricSeries:
    """`add` the reports of a run as they come."""

    def __init__(self, derived: Steps, ks: Sequence[int] = (1,)) -> None:
        """`derived`: the step table of the same run, for numbers that follow from several reports. `ks`: of pass@k."""
        self._numbers, self._derived, self._ks = StepNumbers(), derived, ks
        self._step_ends: list[tuple[float, int]] = []
        """(unix seconds, step) of the learner's reports."""
        self._late: list[RoleTimes] = []
        """Reports of times since the newest step: they belong to the step that is being made."""
        self._evaluations: dict[str, dict[int, float]] = {}

    def add(self, reports: Reports, evaluations: Mapping[int, Sequence[Result]], *, over: bool) -> None:
        """`evaluations`: all so far. `over`: no further step will come."""
        numbers = self._numbers
        numbers.add_steps(reports.learner)
        for work in (reports.syncs, reports.outputs, reports.groups, reports.preprocess):
            numbers.add_work(work)
        self._step_ends += [(report.unix_s, report.step) for report in reports.learner]
        self._add_times(reports.times, over)
        for step, results in evaluations.items():
            for name, value in mean_pass_at_k(results, self._ks).items():
                self._evaluations.setdefault(f"{EVALUATION}{name}", {})[step] = value

    def names(self) -> list[MetricName]:
        """All numbers that have a value, in the order in which they are shown."""
        derived = {name for row in self._derived.rows.values() for name in row if metric_of(name).group != OTHER}
        names = {*self._numbers.names(), *derived, *self._evaluations}
        known = sorted(
            ((name, metric_of(name)) for name in names),
            key=lambda each: (GROUP_ORDER.index(each[1].group), each[1].place, each[1].family, each[1].line),
        )
        return [MetricName(name, each.family, each.line, each.group, each.unit) for name, each in known]

    def series(self, name: str, first: int = 0, last: int | None = None) -> Series:
        """The values at the steps `first`..`last`, at most `MOST_POINTS` of them; empty for an unknown name."""
        steps, values = self._column(name)
        inside = (steps >= first) & (steps <= (steps.max(initial=0) if last is None else last))
        steps, values = steps[inside], values[inside]
        kept = extremes(values, MOST_POINTS)
        return Series(name, steps[kept].tolist(), values[kept].tolist(), len(steps))

    def _add_times(self, times: Iterable[RoleTimes], over: bool) -> None:
        waiting, newest_s = [*self._late, *times], max(self._step_ends, default=(0.0, 0))[0]
        ended = [report for report in waiting if over or report.unix_s <= newest_s]
        self._late = [] if over else [report for report in waiting if report.unix_s > newest_s]
        self._numbers.add_times(ended, self._step_ends)

    def _column(self, name: str) -> Column:
        if name in self._numbers:
            return self._numbers.column(name)
        known = self._evaluations.get(name)
        if known is None:
            known = {step: row[name] for step, row in self._derived.rows.items() if name in row}
        steps = np.array(sorted(known), dtype=np.int64)
        return steps, np.array([known[step] for step in steps.tolist()], dtype=np.float64)


def extremes(values: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Indices of at most `most` values, ascending: all, or the smallest and the largest of equal parts.

    So a spike of a single step stays visible.
    """
    if len(values) <= most:
        return np.arange(len(values))
    starts = np.linspace(0, len(values), most // 2 + 1).astype(np.int64)
    kept = {
        start + int(choose(values[start:stop]))
        for start, stop in zip(starts.tolist(), starts[1:].tolist(), strict=False)
        for choose in (np.argmin, np.argmax)
    }
    return np.array(sorted(kept), dtype=np.int64)
