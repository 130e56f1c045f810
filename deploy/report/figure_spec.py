"""What a figure is: its words, its numbers, and how to paint them. The numbers are the CSV, so both say the same."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from deploy.report.curves import Point
from deploy.statistics.estimates import Estimate
from deploy.view.figure_kit import Sheet
from deploy.view.palette import ARMS, OTHER, SERIES

Cell = str | int | float | None
USUAL = {("unguided", "hard"), ("guided", "hard"), ("easy", "easy"), ("easier", "easier")}
STYLES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Figure:
    """One picture with the table it shows."""

    name: str
    """Of its files and its anchor in the page."""
    title: str
    caption: str
    """What is shown and how it was computed."""
    about: str
    """Whose: experiments, seeds, steps."""
    alt: str
    """In words, for those who cannot see it."""
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    paint: Callable[[], Sheet]
    """Draws it, without a title."""


@dataclass(frozen=True)
class Absent:
    """A figure the runs have no records for."""

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
    """`o`: a trajectory, whose points do not ascend and whose first has a ring."""


@dataclass(frozen=True)
class Panel:
    """Curves over one pair of axes."""

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    share: bool = False
    """Whether the values are shares of one: the axis then shows all of 0 to 1."""
    share_x: bool = False
    threshold: float | None = None
    """Where a line is drawn across."""
    tight: bool = False
    """Whether the axis is that of zero and the seeds: a band may then reach beyond it."""


@dataclass(frozen=True)
class Bar:
    """One stacked bar: what it is of, and the size of each part."""

    label: str
    parts: Mapping[str, float]
    beside: Mapping[str, float] = field(default_factory=dict)
    """Counted beside the parts, for the CSV alone."""

    @property
    def total(self) -> float:
        return sum(self.parts.values())


@dataclass(frozen=True)
class BarPanel:
    """Stacked bars as shares of each bar's own total."""

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
    """What it began with."""
    colour: str


@dataclass(frozen=True)
class DotPanel:
    """Rows over one axis of shares."""

    title: str
    dots: Sequence[Dot]


def arm_line(arm: str, points: Sequence[Point], which: str = "", **more: str) -> Line:
    """The line of an arm, in its colour; `which` is added to its name."""
    return Line(f"{arm}, {which}" if which else arm, points, ARMS.get(arm, OTHER), **more)


def part_line(arm: str, bucket: str, points: Sequence[Point]) -> Line:
    """The line of an arm and a bucket, named by the arm alone where it draws the bucket one expects."""
    return arm_line(arm, points, "" if (arm, bucket) in USUAL else bucket)


def nth_line(number: int, label: str, points: Sequence[Point], **more: str) -> Line:
    """The line of the experiment with that number: a colour each, then the same colours in other strokes."""
    return Line(label, points, nth_colour(number), STYLES[number // len(SERIES) % len(STYLES)], **more)


def nth_colour(number: int) -> str:
    return SERIES[number % len(SERIES)]
