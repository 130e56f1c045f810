"""Builds figures from panels: rows of the CSV, alternative text, and how to paint them."""

from collections.abc import Sequence

from deploy.report.canvas import crowded, paint_bars, paint_curves, paint_dots
from deploy.report.figure_spec import Absent, BarPanel, DotPanel, Figure, Panel

MOST_DESCRIBED = 12
"""Most curves, bars or dots that the alternative text of a figure describes."""

NO_BANDS = (
    "With this many curves the bands are left out: a bar to the right of each curve's end shows its last interval; "
    "the CSV has all."
)


def curves(name: str, title: str, caption: str, about: str, panels: Sequence[Panel], *, reason: str) -> Figure | Absent:
    """A figure of curves, one panel per pair of axes. Panels without a point are left out.

    `reason`: why the figure is absent when no panel has a point.
    """
    panels = [panel for panel in panels if any(line.points for line in panel.lines)]
    if not panels:
        return Absent(name, title, reason)
    rows = tuple(
        (panel.title, line.label, point.x, *point.y[:3], " ".join(map(str, point.y.values)))
        for panel in panels
        for line in panel.lines
        for point in line.points
    )
    descriptions = [
        f"{_name(panel.title, line.label)}: from {line.points[0].y.mean:.3g} to {line.points[-1].y.mean:.3g}"
        for panel in panels
        for line in panel.lines
        if line.points
    ]
    return Figure(
        name=name,
        title=title,
        caption=f"{caption} {NO_BANDS}" if any(map(crowded, panels)) else caption,
        about=about,
        alt=_alt("Line chart", title, descriptions),
        columns=("panel", "line", "x", "mean", "lower", "upper", "by_seed"),
        rows=rows,
        paint=lambda: paint_curves(panels),
    )


def bars(
    name: str,
    title: str,
    caption: str,
    about: str,
    panels: Sequence[BarPanel],
    colours: dict[str, str],
    *,
    reason: str,
) -> Figure | Absent:
    """A figure of stacked bars; otherwise as `curves`. `colours`: part -> colour, in the order of the stack."""
    panels = [panel for panel in panels if any(bar.total for bar in panel.bars)]
    if not panels:
        return Absent(name, title, reason)
    extra = dict.fromkeys(name for panel in panels for bar in panel.bars for name in bar.extra_counts)
    rows = tuple(
        (
            panel.title,
            bar.label,
            part,
            bar.parts.get(part, 0.0),
            bar.parts.get(part, 0.0) / bar.total,
            *(bar.extra_counts.get(name) for name in extra),
        )
        for panel in panels
        for bar in panel.bars
        for part in colours
        if bar.total
    )
    descriptions = [
        f"{_name(panel.title, bar.label)}: "
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
        alt=_alt("Stacked bar chart", title, descriptions),
        columns=("panel", "bar", "part", "amount", "share", *(f"{name}_in_bar" for name in extra)),
        rows=rows,
        paint=lambda: paint_bars(panels, colours),
    )


def dots(
    name: str, title: str, caption: str, about: str, panels: Sequence[DotPanel], *, reason: str
) -> Figure | Absent:
    """A figure of estimates; otherwise as `curves`."""
    if not panels:
        return Absent(name, title, reason)
    drawn = [(panel.title, dot.label, dot.before, dot.estimate) for panel in panels for dot in panel.dots]
    return Figure(
        name=name,
        title=title,
        caption=caption,
        about=about,
        alt=_alt("Dot plot", title, [f"{_name(panel, label)}: {found.text} %" for panel, label, _, found in drawn]),
        columns=("panel", "row", "before", "mean", "lower", "upper", "by_seed", "method"),
        rows=tuple(
            (panel, label, before, *found[:3], " ".join(map(str, found.values)), found.method)
            for panel, label, before, found in drawn
        ),
        paint=lambda: paint_dots(panels),
    )


def _name(panel: str, part: str) -> str:
    return f"{panel}, {part}" if panel else part


def _alt(kind: str, title: str, descriptions: Sequence[str]) -> str:
    left_out = len(descriptions) - MOST_DESCRIBED
    rest = f"; and {left_out} more, in the CSV file" if left_out > 0 else ""
    return f"{kind}: {title}. {'; '.join(descriptions[:MOST_DESCRIBED])}{rest}."
