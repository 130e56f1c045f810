"""The paint box: matplotlib as the report uses it. Figures come without a title; the page has it as text."""

import io
from collections import Counter
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

from deploy.report.figure_spec import BarPanel, DotPanel, Figure, Line, Panel
from deploy.view.palette import BLACK, OTHER, YELLOW

WIDTH = 9.6
"""Inches; the page shows it at the width of its text."""
PANEL_HEIGHT = 2.9
ROW_HEIGHT = 0.34
AROUND_ROWS = 0.9
"""Title and axis of a panel of bars or dots."""
LEGEND_ROW = 0.22
LETTER = 0.075
"""Mean width of a letter of a legend, inches."""
MOST_COLUMNS = 3
"""Of few panels; more than `MANY_PANELS` bar panels stand in one column more."""
MANY_PANELS = 12
TALLEST = 1.2
"""Height by width at most, legend apart: with title and caption it then fits a printed A4 page."""
MOST_BANDS = 5
"""Above so many curves in one panel their bands would hide them."""
DPI = 150
STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "lines.linewidth": 1.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "text.parse_math": False,  # names may hold dollars
    "svg.fonttype": "path",
    "svg.hashsalt": "pope",  # the same figure is the same file
}


def save(figure: Figure, path: Path) -> bytes:
    """Write the picture with its title as PNG; return the SVG of the picture alone."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        painted = figure.paint()
        svg = io.BytesIO()
        painted.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        painted.suptitle(f"{figure.title}\n{figure.about}", x=0.01, ha="left", fontsize=10)
        painted.savefig(path, format="png", dpi=DPI)
    return svg.getvalue()


def paint_curves(panels: Sequence[Panel]) -> Any:
    """Panels side by side with one legend for all below them. Labels that repeat stand at the edge only."""
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
            axis.axhline(panel.threshold, color=OTHER, lw=1, ls=(0, (5, 4)))
        if panel.tight:
            values = [value for line in panel.lines for point in line.points for value in (0.0, *point.y.values)]
            margin = 0.06 * (max(values) - min(values)) or 0.01
            axis.set_ylim(min(values) - margin, max(values) + margin)
        if crowded(panel):
            _end_bars(axis, panel)
        else:
            _bands(axis, panel)
        if panel.share:
            axis.set_ylim(-0.03, 1.03)
        else:
            axis.set_ylim(bottom=min(0.0, axis.get_ylim()[0]))
        if panel.share_x:
            axis.set_xlim(-0.03, 1.03)
        else:
            axis.set_xlim(left=min(0.0, axis.get_xlim()[0]))
    order = dict.fromkeys(line.label for panel in panels for line in panel.lines)
    _legend(painted, {label: handles[label] for label in order if label in handles})
    return painted


def crowded(panel: Panel) -> bool:
    """Whether it has too many curves for bands."""
    return sum(bool(line.points) for line in panel.lines) > MOST_BANDS


def paint_bars(panels: Sequence[BarPanel], colours: dict[str, str]) -> Any:
    """Horizontal stacked bars of shares; parts wide enough are labelled."""
    columns = min(2 if len(panels) < 5 else MOST_COLUMNS + (len(panels) > MANY_PANELS), len(panels))
    rows, most = ceil(len(panels) / columns), max(2, *(len(panel.bars) for panel in panels))
    painted, axes = _sheet(rows, columns, AROUND_ROWS + ROW_HEIGHT * most)
    pitch = 72 * (painted.get_figheight() / rows - AROUND_ROWS) / most  # points
    names = LETTER * max(len(bar.label) for panel in panels for bar in panel.bars)
    narrow = 0.3 / (painted.get_figwidth() / columns - names)
    legend: dict[str, Any] = {}
    for axis, panel in zip(axes, panels, strict=False):
        axis.set_title(panel.title, loc="right")  # a long one reaches over the names of the bars
        axis.grid(axis="y", visible=False)
        left = [0.0] * len(panel.bars)
        for part, colour in colours.items():
            shares = [bar.parts.get(part, 0.0) / bar.total if bar.total else 0.0 for bar in panel.bars]
            if any(shares):
                drawn = axis.barh(range(len(shares)), shares, 0.72, left=left, color=colour)
                ink = BLACK if colour in LIGHT else "white"
                labels = [f"{share:.0%}" if share >= narrow else "" for share in shares]
                axis.bar_label(drawn, labels=labels, label_type="center", color=ink, fontsize=min(8.0, 0.65 * pitch))
                legend.setdefault(part, drawn)
                left = [a + b for a, b in zip(left, shares, strict=True)]
        axis.set_yticks(range(len(panel.bars)), [bar.label for bar in panel.bars], fontsize=min(9.0, 0.85 * pitch))
        axis.set_ylim(len(panel.bars) - 0.4, -0.6)
        axis.set_xlim(0, 1)
        axis.set_xlabel(f"share of {panel.unit}")
    _legend(painted, legend)
    return painted


def paint_dots(panels: Sequence[DotPanel]) -> Any:
    """A row a name: a dot with its interval, small rings for its seeds, a cross for what it began with."""
    rows = max(len(panel.dots) for panel in panels)
    painted, axes = _sheet(1, len(panels), AROUND_ROWS + ROW_HEIGHT * max(2, rows))
    for axis, panel in zip(axes, panels, strict=True):
        axis.set_title(panel.title)
        axis.grid(axis="y", visible=False)
        for row, dot in enumerate(panel.dots):
            mean, lower, upper = dot.estimate[:3]
            if lower is not None and upper is not None:
                axis.plot([lower, upper], [row, row], color=dot.colour, lw=2.2, solid_capstyle="butt")
            if dot.estimate.seeds > 1:
                axis.plot(dot.estimate.values, [row] * dot.estimate.seeds, "o", mfc="none", mec=OTHER, ms=4, mew=0.8)
            axis.plot([mean], [row], "o", color=dot.colour, ms=6.5)
            if dot.before is not None:
                axis.plot([dot.before], [row], "x", color=OTHER, ms=6)
        axis.set_yticks(range(len(panel.dots)), [dot.label for dot in panel.dots])
        axis.set_ylim(rows - 0.4, -0.6)
        axis.set_xlim(-0.03, 1.03)
        axis.set_xlabel("share of hard problems")
    return painted


def _sheet(rows: int, columns: int, height: float) -> tuple[Any, list[Any]]:
    """An empty figure and its axes, row by row."""
    from matplotlib.figure import Figure as Sheet
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    width = WIDTH if columns > 1 else 0.75 * WIDTH
    sheet = Sheet(figsize=(width, min(height * rows, TALLEST * width)), layout="constrained")
    axes = list(sheet.subplots(rows, columns, squeeze=False).flat)
    for axis in axes:
        axis.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.6g}"))
    return sheet, axes


def _line(axis: Any, line: Line) -> Any:
    """A curve of means."""
    xs, ys = [point.x for point in line.points], [point.y.mean for point in line.points]
    marker = line.marker or ("." if len(xs) == 1 else None)
    (drawn,) = axis.plot(xs, ys, color=line.colour, ls=line.style, marker=marker, ms=4)
    if line.marker == "o":
        axis.plot(xs[:1], ys[:1], "o", mfc="none", mec=line.colour, ms=9)
    return drawn


def _bands(axis: Any, panel: Panel) -> None:
    """Every interval as a band, every seed as a thin line."""
    for line in panel.lines:
        bounded = [point for point in line.points if point.y.lower is not None]
        xs = [point.x for point in bounded]
        lower, upper = [point.y.lower for point in bounded], [point.y.upper for point in bounded]
        axis.fill_between(xs, lower, upper, color=line.colour, alpha=0.16, lw=0)
        if bounded and bounded[0].y.seeds > 1 and not line.marker:
            for seed in zip(*(point.y.values for point in bounded), strict=True):
                axis.plot(xs, seed, color=line.colour, ls=line.style, lw=0.7, alpha=0.45)


def _end_bars(axis: Any, panel: Panel) -> None:
    """The last interval of every line, right of where it ends; of lines that end together beside each other."""
    right = max(line.points[-1].x for line in panel.lines if line.points)
    place: Counter[float] = Counter()
    for line in panel.lines:
        if line.points and line.points[-1].y.lower is not None:
            end, (mean, lower, upper) = line.points[-1].x, line.points[-1].y[:3]
            place[end] += 1
            x = end + 0.014 * right * place[end]
            axis.plot([x, x], [lower, upper], color=line.colour, ls=line.style, lw=1.2)
            axis.plot([x], [mean], ".", color=line.colour, ms=5)


def _legend(painted: Any, handles: dict[str, Any]) -> None:
    """One for all axes, below them, in as many rows as it takes; axes without data vanish."""
    for axis in painted.axes:
        if not axis.has_data():
            axis.set_axis_off()
    if handles:
        names = [f" {label}" if label.startswith("_") else label for label in handles]  # matplotlib hides those
        fit = max(1, int(painted.get_figwidth() / (LETTER * (max(map(len, names)) + 7))))
        rows = ceil(len(names) / fit)
        painted.set_figheight(painted.get_figheight() + LEGEND_ROW * rows)
        painted.legend(list(handles.values()), names, loc="outside lower center", ncols=ceil(len(names) / rows))


LIGHT = {YELLOW, "#E69F00", "#56B4E9", "#CC79A7", "#BBBBBB"}
"""Fills on which black is easier to read than white."""
