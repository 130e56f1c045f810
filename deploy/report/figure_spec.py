"""A figure as data: its text, its numbers and how to paint them. The same numbers make the picture and the CSV."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from deploy.report.curves import Point
from deploy.statistics.estimates import Estimate
from deploy.view.figure_kit import Sheet
from deploy.view.palette import ARMS, OTHER, SERIES

Cell = str | int | float | None
OWN_BUCKETS = {("unguided", "hard"), ("guided", "hard"), ("easy", "easy"), ("easier", "easier")}
STYLES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Figure:
    """One picture with the table it shows."""

    name: str
    """Name of its files and of its anchor in the page."""
    title: str
    caption: str
    """What is shown and how it was computed."""
    about: str
    """Experiments, seeds and steps."""
    alt: str
    """Alternative text."""
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    paint: Callable[[], Sheet]
    """Draws it, without a title."""


@dataclass(frozen=True)
class Absent:
    """A figure that cannot be drawn, because the runs have no records for it."""

    name: str
    title: str
    reason: str


@dataclass(frozen=True)
class Line:
    """One curve."""

    label: str
    points: Sequence[Point]
    colour: str
    style: str = "-"
    marker: str = ""
    """`o`: a trajectory. Its points need not ascend in x, and a ring marks the first."""


@dataclass(frozen=True)
class Panel:
    """Curves over one pair of axes."""

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    share: bool = False
    """Whether the values are shares: the axis then shows 0 to 1."""
    share_x: bool = False
    threshold: float | None = None
    """Value of a dashed horizontal line."""
    tight: bool = False
    """Whether the y axis fits zero and the seeds only, so that a band may exceed it."""


@dataclass(frozen=True)
class Bar:
    """One stacked bar: its label, and the size of each part."""

    label: str
    parts: Mapping[str, float]
    extra_counts: Mapping[str, float] = field(default_factory=dict)
    """Counts that are no part of the bar, for the CSV only."""

    @property
    def total(self) -> float:
        return sum(self.parts.values())


@dataclass(frozen=True)
class BarPanel:
    """Stacked bars, each as shares of its own total."""

    title: str
    bars: Sequence[Bar]
    unit: str
    """What is counted."""


@dataclass(frozen=True)
class Dot:
    """One row of a dot plot."""

    label: str
    estimate: Estimate
    before: float | None
    """Value before training."""
    colour: str


@dataclass(frozen=True)
class DotPanel:
    """Rows of dots over one axis of shares."""

    title: str
    dots: Sequence[Dot]


def arm_line(arm: str, points: Sequence[Point], which: str = "", **more: str) -> Line:
    """The line of an arm, in its colour. `which` is appended to its label."""
    return Line(f"{arm}, {which}" if which else arm, points, ARMS.get(arm, OTHER), **more)


def part_line(arm: str, bucket: str, points: Sequence[Point]) -> Line:
    """The line of an arm and bucket. The label names the bucket only when it is not the arm's own."""
    return arm_line(arm, points, "" if (arm, bucket) in OWN_BUCKETS else bucket)


def nth_line(number: int, label: str, points: Sequence[Point], **more: str) -> Line:
    """The line of the n-th experiment. After all colours were used, the line style changes."""
    return Line(label, points, nth_colour(number), STYLES[number // len(SERIES) % len(STYLES)], **more)


def nth_colour(number: int) -> str:
    return SERIES[number % len(SERIES)]
