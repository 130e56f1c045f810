"""The painted figures, read back from matplotlib."""

from typing import Any

import numpy as np
import pytest

from deploy.report.canvas import MOST_BANDS, TALLEST, WIDTH, paint_bars, paint_curves
from deploy.report.curves import Point
from deploy.report.figure_spec import Bar, BarPanel, Line, Panel
from deploy.statistics.estimates import over_seeds


def line(label: str, last: int, *, low: float = 0.4) -> Line:
    """From 0 to `last`, each point the mean of two seeds."""
    return Line(label, [Point(x, over_seeds([low, low + 0.2], -1.0, 1.0)) for x in range(last + 1)], "#000000")


def panel(*lines: Line, **more: Any) -> Panel:
    return Panel("", "x", "y", lines, **more)


def test_a_single_line_is_named() -> None:
    (legend,) = paint_curves([panel(line("hard and easy", 3))]).legends
    assert [text.get_text() for text in legend.get_texts()] == ["hard and easy"]


def test_the_legend_has_the_order_of_the_lines_though_the_first_panel_lacks_one() -> None:
    bare = Line("a", [], "#000000")
    (legend,) = paint_curves([panel(bare, line("b", 3)), panel(line("a", 3), line("b", 3))]).legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]


def test_an_interval_stands_at_the_end_of_its_own_line() -> None:
    lasts = [10, 4, 10, 10, 10, 10]
    assert len(lasts) > MOST_BANDS
    (axis,) = paint_curves([panel(*(line(str(i), last) for i, last in enumerate(lasts)))]).axes
    xs = [np.asarray(drawn.get_xdata()) for drawn in axis.lines]
    upright = [x for x in xs if len(x) == 2]
    assert all(x[0] == x[1] for x in upright)
    places = [x[0] for x in upright]
    assert places[1] == pytest.approx(4.14)
    assert [places[i] for i in (0, 2, 3, 4, 5)] == pytest.approx([10.14, 10.28, 10.42, 10.56, 10.7])


def test_the_zero_line_is_in_the_picture_whatever_the_sign() -> None:
    for low in (-0.9, 0.4):
        (axis,) = paint_curves([panel(line("a", 3, low=low), threshold=0.0)]).axes
        bottom, top = axis.get_ylim()
        assert bottom <= 0.0 <= top


def test_a_tight_axis_is_that_of_the_seeds() -> None:
    for tight in (False, True):
        (axis,) = paint_curves([panel(line("a", 3, low=0.1), threshold=0.0, tight=tight)]).axes
        bottom, top = axis.get_ylim()
        assert (bottom < -0.9, top > 0.9) == (not tight, not tight)
        assert bottom < 0.0 < 0.3 < top


def test_a_picture_with_its_legend_is_no_taller_than_a_page_takes() -> None:
    """A4 between its margins is 267 mm by 184 mm; an eighth of the height is left to the title and the caption."""
    bars = [Bar(f"{i},000-{i},999, n {i},000", {"trained": 1.0, "stale": 3.0}) for i in range(11)]
    for count in (1, 3, 10, 14, 20):
        sheet = paint_bars([BarPanel(str(i), bars, "rollouts") for i in range(count)], {"trained": "r", "stale": "b"})
        assert sheet.get_figheight() < 7 / 8 * 267 / 184 * sheet.get_figwidth()
    assert sheet.get_figwidth() == WIDTH
    assert sheet.get_figheight() == pytest.approx(TALLEST * WIDTH, abs=0.3)
