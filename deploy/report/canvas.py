"""Paints the panels of a report's figure. The picture has no title: the page shows it as text."""

from collections import Counter
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

from deploy.report.figure_spec import BarPanel, DotPanel, Figure, Line, Panel
from deploy.view import figure_kit as kit
from deploy.view.palette import OTHER, ink

WIDTH = 9.6
"""Inches. The page scales it to the width of its text."""
PANEL_HEIGHT = 2.9
ROW_HEIGHT = 0.34
AROUND_ROWS = 0.9
"""Height of title and axis of a panel of bars or dots, inches."""
MOST_COLUMNS = 3
"""Most columns of panels; more than `MANY_PANELS` bar panels have one column more."""
MANY_PANELS = 12
TALLEST = 1.2
"""Largest ratio of height to width, without the legend: with title and caption it then fits a printed A4 page."""
MOST_BANDS = 5
"""Curves in one panel. The bands of more would hide each other."""


def save(figure: Figure, path: Path) -> bytes:
    """Writes the picture with its title as PNG. Returns the SVG of the picture without it."""
    with kit.style():
        painted = figure.paint()
        picture = kit.svg(painted)
        kit.save_png(painted, path, f"{figure.title}\n{figure.about}")
    return picture


def paint_curves(panels: Sequence[Panel]) -> kit.Sheet:
    """Panels in a grid with one legend below. Axis labels that repeat are shown at the edge only."""
    columns = min(MOST_COLUMNS if len(panels) != 4 else 2, len(panels))
    painted, axes = _sheet(ceil(len(panels) / columns), columns, PANEL_HEIGHT)
    handles: dict[str, Any] = {}
    for place, (axis, panel) in enumerate(zip(axes, panels, strict=False)):
        axis.set_title(panel.title)
        if place + columns >= len(panels) or panels[place + columns].x_label != panel.x_label:
            axis.set_xlabel(panel.x_label)
        if place % columns == 0 or panels[place - 1].y_label != panel.y_label:
            axis.set_ylabel(panel.y_label)
        for line in panel.lines:
            if line.points:
                handles.setdefault(line.label, _line(axis, line))
        if panel.threshold is not None:
            kit.threshold_line(axis, panel.threshold)
        if panel.tight:
            values = [value for line in panel.lines for point in line.points for value in (0.0, *point.y.values)]
            margin = 0.06 * (max(values) - min(values)) or 0.01
            axis.set_ylim(min(values) - margin, max(values) + margin)
        if crowded(panel):
            _end_bars(axis, panel)
        else:
            _bands(axis, panel)
        if panel.share:
            kit.share_axis(axis)
        else:
            kit.include_zero(axis)
        if panel.share_x:
            kit.share_axis(axis, "x")
        else:
            kit.include_zero(axis, "x")
    order = dict.fromkeys(line.label for panel in panels for line in panel.lines)
    kit.hide_unused(axes)
    kit.legend_below(painted, {label: handles[label] for label in order if label in handles})
    return painted


def crowded(panel: Panel) -> bool:
    """Whether it has more than `MOST_BANDS` curves."""
    return sum(bool(line.points) for line in panel.lines) > MOST_BANDS


def paint_bars(panels: Sequence[BarPanel], colours: dict[str, str]) -> kit.Sheet:
    """Horizontal stacked bars of shares. Parts that are wide enough are labelled."""
    columns = min(2 if len(panels) < 5 else MOST_COLUMNS + (len(panels) > MANY_PANELS), len(panels))
    rows, most = ceil(len(panels) / columns), max(2, *(len(panel.bars) for panel in panels))
    painted, axes = _sheet(rows, columns, AROUND_ROWS + ROW_HEIGHT * most)
    pitch = 72 * (painted.get_figheight() / rows - AROUND_ROWS) / most  # points from bar to bar
    label_width = kit.LETTER * max(len(bar.label) for panel in panels for bar in panel.bars)
    narrow = 0.3 / (painted.get_figwidth() / columns - label_width)  # share of a bar that is 0.3 inches wide
    legend: dict[str, Any] = {}
    for axis, panel in zip(axes, panels, strict=False):
        axis.set_title(panel.title, loc="right")  # a long one extends over the labels of the bars
        axis.grid(axis="y", visible=False)
        left = [0.0] * len(panel.bars)
        for part, colour in colours.items():
            shares = [bar.parts.get(part, 0.0) / bar.total if bar.total else 0.0 for bar in panel.bars]
            if any(shares):
                drawn = axis.barh(range(len(shares)), shares, 0.72, left=left, color=colour)
                labels = [f"{share:.0%}" if share >= narrow else "" for share in shares]
                size = min(8.0, 0.65 * pitch)
                axis.bar_label(drawn, labels=labels, label_type="center", color=ink(colour), fontsize=size)
                legend.setdefault(part, drawn)
                left = [a + b for a, b in zip(left, shares, strict=True)]
        axis.set_yticks(range(len(panel.bars)), [bar.label for bar in panel.bars], fontsize=min(9.0, 0.85 * pitch))
        axis.set_ylim(len(panel.bars) - 0.4, -0.6)
        axis.set_xlim(0, 1)
        axis.set_xlabel(f"share of {panel.unit}")
    kit.hide_unused(axes)
    kit.legend_below(painted, legend)
    return painted


def paint_dots(panels: Sequence[DotPanel]) -> kit.Sheet:
    """One row per dot: the mean with its interval, small rings for its seeds, a cross for the value before training."""
    rows = max(len(panel.dots) for panel in panels)
    painted, axes = _sheet(1, len(panels), AROUND_ROWS + ROW_HEIGHT * max(2, rows))
    for axis, panel in zip(axes, panels, strict=True):
        axis.set_title(panel.title)
        axis.grid(axis="y", visible=False)
        for row, dot in enumerate(panel.dots):
            if dot.estimate.interval:
                axis.plot(dot.estimate.interval, [row, row], color=dot.colour, lw=2.2, solid_capstyle="butt")
            if dot.estimate.seeds > 1:
                axis.plot(dot.estimate.values, [row] * dot.estimate.seeds, "o", mfc="none", mec=OTHER, ms=4, mew=0.8)
            axis.plot([dot.estimate.mean], [row], "o", color=dot.colour, ms=6.5)
            if dot.before is not None:
                axis.plot([dot.before], [row], "x", color=OTHER, ms=6)
        axis.set_yticks(range(len(panel.dots)), [dot.label for dot in panel.dots])
        axis.set_ylim(rows - 0.4, -0.6)
        kit.share_axis(axis, "x")
        axis.set_xlabel("share of hard problems")
    return painted


def _sheet(rows: int, columns: int, height: float) -> tuple[kit.Sheet, list[kit.Axes]]:
    """An empty figure and its axes row by row; `height` of one row, inches."""
    width = WIDTH if columns > 1 else 0.75 * WIDTH
    painted, axes = kit.sheet(rows, columns, width=width, height=min(height * rows, TALLEST * width))
    for axis in axes:
        kit.plain_numbers(axis)
    return painted, axes


def _line(axis: kit.Axes, line: Line) -> Any:
    """Draws a curve of means."""
    xs, ys = [point.x for point in line.points], [point.y.mean for point in line.points]
    marker = line.marker or ("." if len(xs) == 1 else None)
    (drawn,) = axis.plot(xs, ys, color=line.colour, ls=line.style, marker=marker, ms=4)
    if line.marker == "o":
        axis.plot(xs[:1], ys[:1], "o", mfc="none", mec=line.colour, ms=9)
    return drawn


def _bands(axis: kit.Axes, panel: Panel) -> None:
    """Draws every interval as a band, and every seed as a thin line."""
    for line in panel.lines:
        bounded = [(point, interval) for point in line.points if (interval := point.y.interval)]
        xs = [point.x for point, _ in bounded]
        lower, upper = [low for _, (low, _) in bounded], [high for _, (_, high) in bounded]
        axis.fill_between(xs, lower, upper, color=line.colour, alpha=0.16, lw=0)
        if bounded and bounded[0][0].y.seeds > 1 and not line.marker:
            for seed in zip(*(point.y.values for point, _ in bounded), strict=True):
                axis.plot(xs, seed, color=line.colour, ls=line.style, lw=0.7, alpha=0.45)


def _end_bars(axis: kit.Axes, panel: Panel) -> None:
    """Draws the last interval of every line to the right of its end, side by side for lines that end together."""
    lines = [line for line in panel.lines if line.points]
    right = max(line.points[-1].x for line in lines)
    bars_at: Counter[float] = Counter()
    for line in lines:
        last = line.points[-1]
        if last.y.interval:
            bars_at[last.x] += 1
            x = last.x + 0.014 * right * bars_at[last.x]
            axis.plot([x, x], last.y.interval, color=line.colour, ls=line.style, lw=1.2)
            axis.plot([x], [last.y.mean], ".", color=line.colour, ms=5)
