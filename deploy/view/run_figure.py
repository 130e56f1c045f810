"""One picture of a run: solvability of the hard problems, success by arm, and what the pipeline did meanwhile."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy.view.palette import ARMS, OTHER

Curves = Mapping[str, Sequence[tuple[int, float]]]
"""Arm -> (optimizer step, value)."""


def draw(
    path: Path,
    *,
    title: str,
    learner: Sequence[Mapping[str, str]],
    solved: Curves,
    success: Curves,
    evaluated: Sequence[tuple[int, float]],
    measured: Mapping[str, Mapping[str, Mapping[str, float]]],
) -> None:
    """Save the picture of a run as PNG.

    `learner`: the learner's reports, one a step. `solved`: share of the hard problems solved so far.
    `success`: mean reward of all rollouts. `evaluated`: pass@1 of the hard problems at a step.
    `measured`: when -> arm -> {"pass@1": share}.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(11.5, 8), constrained_layout=True)
    figure.suptitle(title)
    _bars(axes[0][0], measured)
    _curves(axes[0][1], solved, title="Hard problems solved at least once in training", label="share of hard problems")
    _curves(axes[1][0], success, title="Success of all rollouts while training", label="mean reward")
    if evaluated:
        axes[1][0].plot(*zip(*evaluated, strict=True), "o-", color="black", ms=4, label="evaluated, pass@1")
        axes[1][0].legend(frameon=False)
    _pipeline(axes[1][1], learner)
    for panel in axes.flat:
        panel.grid(alpha=0.25)
        panel.spines["top"].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _bars(ax: Any, measured: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """One group of bars for each (arm, when), one bar for each k."""
    ax.set_title("Hard problems measured before and after training")
    places = [(when, arm) for arm in ("unguided", "guided") for when in measured if arm in measured[when]]
    names = sorted({name for when, arm in places for name in measured[when][arm]}, key=lambda n: int(n.split("@")[1]))
    width = 0.8 / max(1, len(names))
    for i, name in enumerate(names):
        shade = 0.45 + 0.55 * i / max(1, len(names) - 1)
        bars = ax.bar(
            [x + (i - (len(names) - 1) / 2) * width for x in range(len(places))],
            [measured[when][arm][name] for when, arm in places],
            width * 0.92,
            color=[ARMS[arm] for _, arm in places],
            alpha=shade,
        )
        values = [measured[when][arm][name] for when, arm in places]
        ax.bar_label(bars, labels=[f"{name}\n{value:.0%}" for value in values], fontsize=7, padding=2)
    ax.set_xticks(range(len(places)), [f"{arm}\n{when.replace('_', ' ')}" for when, arm in places])
    ax.set_ylim(0, 1.2)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1.0])
    ax.set_ylabel("mean over problems")


def _curves(ax: Any, curves: Curves, *, title: str, label: str) -> None:
    ax.set_title(title)
    for arm, points in curves.items():
        ax.plot(*zip(*points, strict=True), color=ARMS.get(arm, OTHER), label=arm, drawstyle="steps-post")
    ax.set_ylim(-0.02, 1.05)
    ax.set_xlabel("optimizer step")
    ax.set_ylabel(label)
    if curves:
        ax.legend(frameon=False)


def _pipeline(ax: Any, learner: Sequence[Mapping[str, str]]) -> None:
    """Age of the trained tokens against the entropy of the policy."""
    ax.set_title("Age of trained tokens, and entropy")
    steps = [int(row["step"]) for row in learner]
    ax.plot(steps, [float(row["lag/mean"]) for row in learner], color=ARMS["unguided"], label="lag, mean")
    ax.plot(steps, [float(row["lag/max"]) for row in learner], color=ARMS["unguided"], alpha=0.4, label="lag, max")
    _leave_room(ax)
    ax.set_xlabel("optimizer step")
    ax.set_ylabel("optimizer steps")
    twin = ax.twinx()
    twin.plot(steps, [float(row["entropy/mean"]) for row in learner], color=OTHER, ls="--", label="entropy (right)")
    _leave_room(twin)
    twin.set_ylabel("nats a token")
    twin.spines["top"].set_visible(False)
    lines = [*ax.lines, *twin.lines]
    ax.legend(lines, [line.get_label() for line in lines], frameon=False, fontsize=8, loc="upper center", ncols=3)


def _leave_room(ax: Any) -> None:
    """From zero to above the highest point, so that the legend covers no line."""
    ax.set_ylim(0, 1.2 * max(1e-6, ax.get_ylim()[1]))
