"""What a figure is: its words, its numbers, and how to paint them. The numbers are the CSV, so both say the same."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.colours import ARMS, OTHER, SERIES
from deploy.report.curves import Point
from deploy.report.estimates import Estimate

Cell = str | int | float | None
STYLES = ("-", "--", ":", "-.")
TOLD = 12
"""The text that stands for a picture tells at most so many of its lines."""


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
    paint: Callable[[], Any]
    """Makes a matplotlib figure without a title."""


@dataclass(frozen=True)
class Absent:
    """A figure the runs have no records for."""

    name: str
    title: str
    reason: str


@dataclass(frozen=True)
class Line:
    """One curve; its points ascend unless it is a trajectory."""

    label: str
    points: Sequence[Point]
    colour: str
    style: str = "-"
    marker: str = ""


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


@dataclass(frozen=True)
class Bar:
    """One stacked bar: what it is of, and the size of each part."""

    label: str
    parts: dict[str, float]

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


def nth_line(number: int, label: str, points: Sequence[Point], **more: str) -> Line:
    """The line of the experiment with that number: a colour each, then the same colours in other strokes."""
    return Line(label, points, nth_colour(number), STYLES[number // len(SERIES) % len(STYLES)], **more)


def nth_colour(number: int) -> str:
    return SERIES[number % len(SERIES)]


def curves(name: str, title: str, caption: str, about: str, panels: Sequence[Panel]) -> Figure:
    """A figure of curves, a panel beside the other."""
    from deploy.report.canvas import paint_curves

    rows = tuple(
        (panel.title, line.label, point.x, *point.y[:3], " ".join(map(str, point.y.values)))
        for panel in panels
        for line in panel.lines
        for point in line.points
    )
    told = [
        f"{_place(panel.title, line.label)}: from {line.points[0].y.mean:.3g} to {line.points[-1].y.mean:.3g}"
        for panel in panels
        for line in panel.lines
        if line.points
    ]
    return Figure(
        name=name,
        title=title,
        caption=caption,
        about=about,
        alt=_alt("Line chart", title, told),
        columns=("panel", "line", "x", "mean", "lower", "upper", "by_seed"),
        rows=rows,
        paint=lambda: paint_curves(panels),
    )


def bars(
    name: str, title: str, caption: str, about: str, panels: Sequence[BarPanel], colours: dict[str, str]
) -> Figure:
    """A figure of stacked bars, a panel beside the other. `colours`: part -> colour, in the order of the stack."""
    from deploy.report.canvas import paint_bars

    rows = tuple(
        (panel.title, bar.label, part, bar.parts.get(part, 0.0), bar.parts.get(part, 0.0) / bar.total)
        for panel in panels
        for bar in panel.bars
        for part in colours
        if bar.total
    )
    told = [
        f"{_place(panel.title, bar.label)}: "
        + ", ".join(f"{part} {value / bar.total:.0%}" for part, value in bar.parts.items() if value)
        for panel in panels
        for bar in panel.bars
        if bar.total
    ]
    return Figure(
        name=name,
        title=title,
        caption=caption,
        about=about,
        alt=_alt("Stacked bar chart", title, told),
        columns=("panel", "bar", "part", "amount", "share"),
        rows=rows,
        paint=lambda: paint_bars(panels, colours),
    )


def dots(name: str, title: str, caption: str, about: str, panels: Sequence[DotPanel]) -> Figure:
    """A figure of estimates, a panel beside the other."""
    from deploy.report.canvas import paint_dots

    each = [(panel, dot) for panel in panels for dot in panel.dots]
    return Figure(
        name=name,
        title=title,
        caption=caption,
        about=about,
        alt=_alt("Dot plot", title, [f"{_place(panel.title, dot.label)}: {dot.estimate.text} %" for panel, dot in each]),
        columns=("panel", "row", "before", "mean", "lower", "upper", "by_seed", "method"),
        rows=tuple(
            (panel.title, dot.label, dot.before, *dot.estimate[:3], " ".join(map(str, dot.estimate.values)), dot.estimate.method)
            for panel, dot in each
        ),
        paint=lambda: paint_dots(panels),
    )


def _place(panel: str, part: str) -> str:
    return f"{panel}, {part}" if panel else part


def _alt(kind: str, title: str, told: Sequence[str]) -> str:
    rest = f"; and {len(told) - TOLD} more, in the CSV file" if len(told) > TOLD else ""
    return f"{kind}: {title}. {'; '.join(told[:TOLD])}{rest}."
