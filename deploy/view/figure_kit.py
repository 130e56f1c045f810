"""The only user of matplotlib: style, axes, legends and files of every figure that the product draws.

Draw inside `style()`, or in `saved_png`, which applies it. Colours come from `palette.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from deploy.view.palette import FAINT, OTHER

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure

    Sheet: TypeAlias = Figure
else:  # importing matplotlib takes a second, so it happens where something is drawn
    Axes = Sheet = Any

DPI = 150
LEGEND_ROW = 0.22
"""Height of a row of a legend, inches."""
LETTER = 0.075
"""Mean width of a letter of a legend, inches."""
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
    "svg.hashsalt": "pope",  # equal figures give equal files
}


@contextmanager
def style() -> Iterator[None]:
    """Applies the style to everything that is drawn and saved inside."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        yield


def sheet(rows: int, columns: int, *, width: float, height: float) -> tuple[Sheet, list[Axes]]:
    """An empty figure, width and height in inches, and its axes row by row. It needs no display."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


@contextmanager
def saved_png(path: Path, title: str, *, rows: int, columns: int, width: float, height: float) -> Iterator[list[Axes]]:
    """Yields the axes of a figure, row by row, and saves it as PNG at the end. Width and height are inches."""
    with style():
        figure, axes = sheet(rows, columns, width=width, height=height)
        yield axes
        save_png(figure, path, title)


def save_png(figure: Sheet, path: Path, title: str) -> None:
    """Saves the figure as PNG with a title. The title stays on the figure, so this comes last."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    figure.savefig(path, format="png", dpi=DPI)


def svg(figure: Sheet) -> bytes:
    """The figure as SVG. Equal figures give equal bytes."""
    content = BytesIO()
    with style():
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return content.getvalue()


def label(axis: Axes, title: str, x_label: str = "", y_label: str = "") -> None:
    """Sets the title and the axis labels of one panel."""
    axis.set_title(title)
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)


def plain_numbers(axis: Axes) -> None:
    """At most seven round numbers on the x axis, with commas between thousands."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.6g}"))


def share_axis(axis: Axes, which: Literal["x", "y"] = "y") -> None:
    """Makes the x or y axis show 0 to 1."""
    if which == "x":
        axis.set_xlim(-0.03, 1.03)
    else:
        axis.set_ylim(-0.03, 1.03)


def include_zero(axis: Axes, which: Literal["x", "y"] = "y") -> None:
    """Extends the x or y axis down to 0 when all data are positive."""
    if which == "x":
        axis.set_xlim(left=min(0.0, axis.get_xlim()[0]))
    else:
        axis.set_ylim(bottom=min(0.0, axis.get_ylim()[0]))


def threshold_line(axis: Axes, y: float) -> None:
    """A dashed horizontal line at a value to compare with."""
    axis.axhline(y, color=OTHER, lw=1, ls=(0, (5, 4)))


def boundary_line(axis: Axes, x: float) -> None:
    """A dotted vertical line, for example where an epoch ends."""
    axis.axvline(x, color=OTHER, lw=1, ls=":")


def hide_unused(axes: Sequence[Axes]) -> None:
    """Hides the axes without data."""
    for axis in axes:
        if not axis.has_data():
            axis.set_axis_off()


def show_empty(axis: Axes, reason: str = "no data") -> None:
    """Shows the reason instead of empty axes. The title stays."""
    axis.set_axis_off()
    axis.text(0.5, 0.5, reason, transform=axis.transAxes, ha="center", va="center", color=FAINT)


def legend_below(figure: Sheet, handles: Mapping[str, Any]) -> None:
    """One legend for all axes, below them, in as many rows as needed. The figure grows by its height.

    `handles`: label -> artist.
    """
    if not handles:
        return
    names = [f" {name}" if name.startswith("_") else name for name in handles]  # matplotlib leaves those out
    fit = max(1, int(figure.get_figwidth() / (LETTER * (max(map(len, names)) + 7))))
    rows = ceil(len(names) / fit)
    figure.set_figheight(figure.get_figheight() + LEGEND_ROW * rows)
    figure.legend(list(handles.values()), names, loc="outside lower center", ncols=ceil(len(names) / rows))
