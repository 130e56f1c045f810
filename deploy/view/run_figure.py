"""The figure of one run: hard problems before and after, solved in training, success by arm, and age and entropy."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from broker.reports import LearnerStep
from deploy.view.figure_kit import Axes, label, saved_png, share_axis, show_empty
from deploy.view.palette import ARMS, BLACK, BLUE, OTHER

Curves = Mapping[str, Sequence[tuple[int, float]]]
"""Arm -> (optimizer step, value)."""
Measured = Mapping[str, Mapping[str, Mapping[str, float]]]
"""When -> arm -> {"pass@1": share}."""


def draw(
    path: Path,
    *,
    title: str,
    learner: Sequence[LearnerStep],
    solved: Curves,
    success: Curves,
    evaluated: Sequence[tuple[int, float]],
    measured: Measured,
) -> None:
    """Saves the figure of a run as PNG.

    `learner`: the learner's reports, one per step. `solved`: share of the hard problems solved so far.
    `success`: mean reward of all rollouts. `evaluated`: pass@1 of the hard problems at a step.
    `measured`: pass@k of the hard problems before and after training.
    """
    with saved_png(path, title, rows=2, columns=2, width=11, height=7.4) as axes:
        _before_and_after(axes[0], measured)
        _curves(axes[1], solved, "Hard problems solved at least once in training", "share of hard problems")
        _success(axes[2], success, evaluated)
        _age_and_entropy(axes[3], learner)


def _before_and_after(axis: Axes, measured: Measured) -> None:
    """One group of bars for each (arm, when), one bar for each k."""
    label(axis, "Hard problems measured before and after training", y_label="pass@k, mean over problems")
    places = [(when, arm) for arm in ("unguided", "guided") for when in measured if arm in measured[when]]
    if not places:
        show_empty(axis, "not measured")
        return
    names = sorted({name for when, arm in places for name in measured[when][arm]}, key=lambda n: int(n.split("@")[1]))
    width = 0.8 / len(names)
    for i, name in enumerate(names):
        values = [measured[when][arm][name] for when, arm in places]
        bars = axis.bar(
            [x + (i - (len(names) - 1) / 2) * width for x in range(len(places))],
            values,
            width * 0.92,
            color=[ARMS[arm] for _, arm in places],
            alpha=0.45 + 0.55 * i / max(1, len(names) - 1),
        )
        labels = [f"@{name.split('@')[1]}\n{value:.0%}" for value in values]
        axis.bar_label(bars, labels=labels, fontsize=7, padding=2)
    axis.set_xticks(range(len(places)), [f"{arm}\n{when.replace('_', ' ')}" for when, arm in places])
    axis.set_ylim(0, 1.2)
    axis.set_yticks([0, 0.25, 0.5, 0.75, 1.0])
    axis.grid(axis="x", visible=False)


def _curves(axis: Axes, curves: Curves, title: str, y_label: str) -> None:
    label(axis, title, "optimizer step", y_label)
    if not curves:
        show_empty(axis)
        return
    for arm, points in curves.items():
        axis.plot(*zip(*points, strict=True), color=ARMS.get(arm, OTHER), label=arm, drawstyle="steps-post")
    share_axis(axis)
    axis.legend()


def _success(axis: Axes, success: Curves, evaluated: Sequence[tuple[int, float]]) -> None:
    """The mean over a moving window of steps, in a band that holds four fifths of its values."""
    width = smoothing_width(max((len(points) for points in success.values()), default=0))
    over = f", mean of {width} steps" if width > 1 else ""
    label(axis, f"Success of all rollouts while training{over}", "optimizer step", "mean reward")
    if not success and not evaluated:
        show_empty(axis)
        return
    for arm, points in success.items():
        steps, means, low, high = zip(*smoothed(points, width), strict=True)
        axis.plot(steps, means, color=ARMS.get(arm, OTHER), label=arm)
        if width > 1:
            axis.fill_between(steps, low, high, color=ARMS.get(arm, OTHER), alpha=0.18, lw=0)
    if evaluated:
        axis.plot(*zip(*evaluated, strict=True), "o-", color=BLACK, ms=4, label="evaluated, pass@1")
    share_axis(axis)
    axis.legend()


def smoothing_width(num_points: int) -> int:
    """Points of a window: odd, and about a fifteenth of a curve."""
    return 2 * (num_points // 30) + 1


def smoothed(points: Sequence[tuple[int, float]], width: int) -> list[tuple[int, float, float, float]]:
    """(step, mean, 10th and 90th percentile) of the `width` points around each; fewer at both ends."""
    half = width // 2
    curve = []
    for i, (step, _) in enumerate(points):
        values = sorted(value for _, value in points[max(0, i - half) : i + half + 1])
        last = len(values) - 1
        curve.append((step, sum(values) / len(values), values[round(0.1 * last)], values[round(0.9 * last)]))
    return curve


def _age_and_entropy(axis: Axes, learner: Sequence[LearnerStep]) -> None:
    """Age of the trained tokens, left axis, and entropy of the policy, right axis."""
    label(axis, "Age of trained tokens, and entropy", "optimizer step", "age, optimizer steps")
    if not learner:
        show_empty(axis, "no step was trained")
        return
    steps = [report.step for report in learner]
    axis.plot(steps, [report.lag_mean for report in learner], color=BLUE, label="lag, mean")
    axis.plot(steps, [report.lag_max for report in learner], color=BLUE, alpha=0.4, label="lag, max")
    right = axis.twinx()
    right.plot(steps, [report.entropy for report in learner], color=OTHER, ls="--", label="entropy (right)")
    right.set_ylabel("entropy, nats per token")
    right.spines["right"].set_visible(True)
    right.grid(visible=False)
    for each in (axis, right):
        _leave_room(each)
    lines = [*axis.lines, *right.lines]
    axis.legend(lines, [str(line.get_label()) for line in lines], loc="upper center", ncols=3)


def _leave_room(axis: Axes) -> None:
    """From zero to above the highest point, so that the legend covers no line."""
    axis.set_ylim(0, 1.2 * max(1e-6, axis.get_ylim()[1]))
