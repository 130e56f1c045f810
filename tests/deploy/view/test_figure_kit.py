"""What every picture shares: style, size, legend and files."""

from pathlib import Path

import matplotlib as mpl
import pytest

from deploy.view.figure_kit import (
    LEGEND_ROW,
    STYLE,
    hide_unused,
    legend_below,
    saved_png,
    sheet,
    show_empty,
    style,
    svg,
)


def test_the_style_holds_inside_and_ends_with_it() -> None:
    before = dict(mpl.rcParams)
    with style():
        assert {key: mpl.rcParams[key] for key in STYLE} == STYLE
    assert dict(mpl.rcParams) == before


def test_axes_come_row_by_row_in_the_size_asked_for() -> None:
    figure, axes = sheet(2, 3, width=6, height=4)
    assert len(axes) == 6
    places = [axis.get_subplotspec() for axis in axes]
    assert [(place.rowspan.start, place.colspan.start) for place in places[2:4]] == [(0, 2), (1, 0)]
    assert (figure.get_figwidth(), figure.get_figheight()) == (6, 4)


def test_a_legend_makes_its_figure_taller_by_its_rows() -> None:
    figure, (axis,) = sheet(1, 1, width=3, height=2)
    lines = {name: axis.plot([0, 1])[0] for name in ("_hidden by matplotlib", "b" * 30, "c")}
    legend_below(figure, lines)
    assert [text.get_text().strip() for text in figure.legends[0].get_texts()] == list(lines)
    assert figure.get_figheight() == pytest.approx(2 + 3 * LEGEND_ROW)
    empty, _ = sheet(1, 1, width=3, height=2)
    legend_below(empty, {})
    assert (empty.legends, empty.get_figheight()) == ([], 2)


def test_axes_without_data_vanish_or_say_so() -> None:
    _, (used, unused, labelled) = sheet(1, 3, width=6, height=2)
    used.plot([0, 1])
    show_empty(labelled, "not measured")
    hide_unused([used, unused])
    assert [axis.axison for axis in (used, unused, labelled)] == [True, False, False]
    assert [text.get_text() for text in labelled.texts] == ["not measured"]


def test_one_figure_is_one_file_and_names_may_hold_dollars(tmp_path: Path) -> None:
    def picture(path: Path) -> bytes:
        with saved_png(path, "a$b", rows=1, columns=1, width=3, height=2) as (axis,):
            axis.plot([0, 1], label="$x")
            axis.legend()
        return svg(axis.figure)

    assert picture(tmp_path / "1.png") == picture(tmp_path / "2.png")
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()
    assert (tmp_path / "1.png").read_bytes().startswith(b"\x89PNG")


def test_what_fails_while_it_is_drawn_leaves_no_file(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="no such"),
        saved_png(tmp_path / "f.png", "t", rows=1, columns=1, width=3, height=2),
    ):
        raise ValueError("no such run")
    assert not (tmp_path / "f.png").exists()
