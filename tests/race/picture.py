"""The picture of a race: unguided success over seconds and over groups, a band over the seeds for each racer."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deploy.view.figure_kit import (
    Axes,
    include_zero,
    label,
    legend_below,
    plain_numbers,
    save_png,
    share_axis,
    sheet,
    show_empty,
    style,
    svg,
    threshold_line,
)
from deploy.view.palette import SERIES
from tests.race.outcome import LEVELS, WINDOW, Moment, Outcome, moments

GRID = 400
"""Points of a band."""
Floats = NDArray[np.float64]


def draw(folder: Path, outcomes: Mapping[str, Sequence[Outcome]]) -> list[Path]:
    """Saves race.png and race.svg. A run stays at its last success where others go on."""
    curves = {name: [curve for run in runs if (curve := list(moments(run.groups)))] for name, runs in outcomes.items()}
    curves = {name: runs for name, runs in curves.items() if runs}
    with style():
        figure, axes = sheet(1, 2, width=10.5, height=4.2)
        handles = {}
        for index, (name, runs) in enumerate(curves.items()):
            colour = SERIES[index % len(SERIES)]
            handles[f"{name}, {len(runs)} seed{'s' * (len(runs) != 1)}"] = _band(axes[0], runs, colour, _seconds)
            _band(axes[1], runs, colour, _groups)
        x_labels = ("seconds since the first rollout request", "rollout groups, both arms")
        for axis, x_label in zip(axes, x_labels, strict=True):
            label(axis, f"Success without guidance, newest {WINDOW} groups", x_label, "share of rollouts")
            plain_numbers(axis)
            share_axis(axis)
            include_zero(axis, "x")
            if not curves:
                show_empty(axis, f"no run with {WINDOW} unguided groups")
            threshold_line(axis, LEVELS[-1] / 100)
        legend_below(figure, handles)
        (folder / "race.svg").write_bytes(svg(figure))
        save_png(figure, folder / "race.png", f"{folder.name}: median and range over the seeds, each seed thin")
    return [folder / "race.png", folder / "race.svg"]


def _seconds(moment: Moment) -> float:
    return moment.at_s


def _groups(moment: Moment) -> float:
    return float(moment.num_groups)


def _band(axis: Axes, runs: Sequence[Sequence[Moment]], colour: str, x_of: Callable[[Moment], float]) -> object:
    """Each run thin, their median thick, and the range between lowest and highest. Returns the line of the median."""
    series = [(np.array([x_of(m) for m in run]), np.array([m.success for m in run])) for run in runs]
    for xs, ys in series:
        axis.plot(xs, ys, color=colour, lw=0.6, alpha=0.5)
    grid = np.linspace(max(xs[0] for xs, _ in series), max(xs[-1] for xs, _ in series), GRID)
    values = np.stack([held(xs, ys, grid) for xs, ys in series])
    if len(runs) > 1:
        axis.fill_between(grid, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.15, lw=0)
    return axis.plot(grid, np.median(values, axis=0), color=colour, lw=1.9)[0]


def held(xs: Floats, ys: Floats, grid: Floats) -> Floats:
    """The value of a step function at each point of the grid: the newest one, the last one after its end."""
    at = np.searchsorted(xs, grid, side="right") - 1
    return ys[np.clip(at, 0, len(ys) - 1)]
