"""Every number of the reports, by optimizer step, under its one name: the wire name of `broker/reports.py`. Pure.

    learner, sft             as reported: `loss/mean`, `grad/norm`, ...; fine-tuning has `sft/` before its names
    syncs, outputs, groups   of the time while a policy version was the newest: counts are sums, other numbers means. A
    and preprocessing        name without a room gets it in front (`groups/rollouts`), and groups have their arm at the
                             end (`groups/rollouts/guided`)
    times                    of the roles of a kind, since the step before: `times/seconds/work/learner`

Numbers that follow from several reports have the names of `deploy/dashboard/steps.py`, such as `success/guided`.
"""

import bisect
import math
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from broker.reports import (
    LEVELS,
    PLACES,
    ActorOutput,
    GroupEnd,
    LearnerStep,
    PreprocessWork,
    Report,
    RoleTimes,
    SftStep,
    WeightSync,
    to_fields,
)

Rows = dict[int, dict[str, float]]
"""Optimizer step -> name -> value."""
Column = tuple[NDArray[np.int64], NDArray[np.float64]]
"""(steps, values) of one number: the steps that have a value, ascending."""


class _Sums:
    """Sums and counts of one number by step; 16 bytes a step."""

    def __init__(self) -> None:
        self._totals, self._counts = array("d"), array("q")

    def add(self, step: int, value: float, *, counted: bool) -> None:
        """`counted`: the value of the step is a mean; otherwise a sum."""
        if (missing := step + 1 - len(self._totals)) > 0:
            self._totals.extend([0.0] * missing)
            self._counts.extend([0] * missing)
        self._totals[step] += value
        self._counts[step] = self._counts[step] + 1 if counted else 1

    def column(self) -> Column:
        counts = np.array(self._counts, dtype=np.int64)
        steps = counts.nonzero()[0]
        return steps, np.array(self._totals, dtype=np.float64)[steps] / counts[steps]

    def take(self, below: float) -> Column:
        """Removes the values of the steps below this one, and returns them."""
        steps, values = self.column()
        taken = steps < below
        for step in steps[taken].tolist():
            self._totals[step], self._counts[step] = 0.0, 0
        return steps[taken], values[taken]


class StepNumbers:
    """Collects the numbers of reports of any kind, in any order."""

    def __init__(self) -> None:
        self._columns: defaultdict[str, _Sums] = defaultdict(_Sums)

    def names(self) -> list[str]:
        return sorted(self._columns)

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    def column(self, name: str) -> Column:
        """The values of one number, which must be known."""
        return self._columns[name].column()

    def take(self, below: float = math.inf) -> Rows:
        """Removes the numbers of the steps below this one, and returns them."""
        rows: defaultdict[int, dict[str, float]] = defaultdict(dict)
        for name in self.names():
            steps, values = self._columns[name].take(below)
            for step, value in zip(steps.tolist(), values.tolist(), strict=True):
                rows[step][name] = value
        return {step: rows[step] for step in sorted(rows)}

    def add_steps(self, reports: Iterable[LearnerStep | SftStep], prefix: str = "") -> None:
        """Reports of which there is one a step."""
        for report in reports:
            for name, value in _numbers(report):
                self._add(report.step, prefix + name, value, level=True)

    def add_work(self, reports: Iterable[WeightSync | ActorOutput | GroupEnd | PreprocessWork]) -> None:
        """Reports of which there are many a step."""
        for report in reports:
            step = report.version if isinstance(report, WeightSync | ActorOutput) else report.step
            end = f"/{report.arm}" if isinstance(report, GroupEnd) else ""
            for name, value in _numbers(report):
                whole = name if "/" in name else f"{report.room}/{name}"
                self._add(step, whole + end, value, level=name in LEVELS or isinstance(value, float))

    def add_times(self, reports: Iterable[RoleTimes], steps: Iterable[tuple[float, int]]) -> None:
        """`steps`: (unix seconds, step) of the learner's reports."""
        ends = sorted(steps)
        for report in reports:
            at = bisect.bisect_left(ends, (report.unix_s, -1))
            step = ends[min(at, len(ends) - 1)][1] if ends else 0
            for name, value in _numbers(report):
                self._add(step, f"{name}/{report.kind}", value, level=name in LEVELS)

    def _add(self, step: int, name: str, value: float, *, level: bool) -> None:
        self._columns[name].add(step, value, counted=level)


def _numbers(report: Report) -> Iterator[tuple[str, float | int]]:
    """(wire name, value) of every finite number; a histogram, `LAG:TOKENS ...`, has one name for each of its keys."""
    for name, value in to_fields(report).items():
        if name in PLACES:
            continue
        if isinstance(value, str):
            for word in value.split() if name.endswith("/histogram") else ():
                key, _, count = word.partition(":")
                yield f"{name}/{key}", int(count)
        elif math.isfinite(value):
            yield name, value
