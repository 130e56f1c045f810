"""The one door to matplotlib: style, figures, axes and files of every picture that the product draws.

Draw inside `style()`, or use `saved_png`, which does. Colours come from `palette.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from deploy.view.palette import FAINT, OTHER

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure

    Sheet: TypeAlias = Figure
else:  # matplotlib takes a second to import, so it is imported where something is drawn
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
    "svg.hashsalt": "pope",  # the same figure is the same file
}


@contextmanager
def style() -> Iterator[None]:
    """What is drawn and saved inside has the style of the product."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        yield


def sheet(rows: int, columns: int, *, width: float, height: float) -> tuple[Sheet, list[Axes]]:
    """An empty figure of that size in inches, and its axes row by row. It belongs to no backend with a window."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


@contextmanager
def saved_png(path: Path, title: str, *, rows: int, columns: int, width: float, height: float) -> Iterator[list[Axes]]:
    """Axes to draw on, row by row, of a figure that is then saved as PNG. Width and height are inches."""
    with style():
        figure, axes = sheet(rows, columns, width=width, height=height)
        yield axes
        save_png(figure, path, title)


def save_png(figure: Sheet, path: Path, title: str) -> None:
    """Call it last: the title stays on the figure."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    figure.savefig(path, format="png", dpi=DPI)


def svg(figure: Sheet) -> bytes:
    """The figure as SVG: the same bytes for the same figure."""
    content = BytesIO()
    with style():
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return content.getvalue()


def label(axis: Axes, title: str, x_label: str = "", y_label: str = "") -> None:
    axis.set_title(title)
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)


def plain_numbers(axis: Axes) -> None:
    """At most seven round numbers below the axis, with commas between thousands."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.6g}"))


def shares(axis: Axes, *, across: bool = False) -> None:
    """All of 0 to 1 on the upright axis, or on the one across."""
    if across:
        axis.set_xlim(-0.03, 1.03)
    else:
        axis.set_ylim(-0.03, 1.03)


def from_zero(axis: Axes, *, across: bool = False) -> None:
    """Zero is on the axis, whatever the sign of the data."""
    if across:
        axis.set_xlim(left=min(0.0, axis.get_xlim()[0]))
    else:
        axis.set_ylim(bottom=min(0.0, axis.get_ylim()[0]))


def line_across(axis: Axes, y: float) -> None:
    """A broken line at a value that the reader compares with."""
    axis.axhline(y, color=OTHER, lw=1, ls=(0, (5, 4)))


def line_up(axis: Axes, x: float) -> None:
    """A dotted line at a place where something changes."""
    axis.axvline(x, color=OTHER, lw=1, ls=":")


def hide_unused(axes: Sequence[Axes]) -> None:
    """Axes without data vanish."""
    for axis in axes:
        if not axis.has_data():
            axis.set_axis_off()


def say_empty(axis: Axes, words: str = "no data") -> None:
    """Title and words in place of axes on which nothing is drawn."""
    axis.set_axis_off()
    axis.text(0.5, 0.5, words, transform=axis.transAxes, ha="center", va="center", color=FAINT)


def legend_below(figure: Sheet, handles: Mapping[str, Any]) -> None:
    """One legend for all axes, below them, in as many rows as it takes. The figure grows by its height.

    `handles`: label -> what matplotlib drew for it.
    """
    if not handles:
        return
    names = [f" {name}" if name.startswith("_") else name for name in handles]  # matplotlib hides those
    fit = max(1, int(figure.get_figwidth() / (LETTER * (max(map(len, names)) + 7))))
    rows = ceil(len(names) / fit)
    figure.set_figheight(figure.get_figheight() + LEGEND_ROW * rows)
    figure.legend(list(handles.values()), names, loc="outside lower center", ncols=ceil(len(names) / rows))
