"""One picture of a run: solvability of the hard problems, reward by arm, and what the pipeline did meanwhile."""

from collections.abc import Mapping, Sequence
from pathlib import Path

COLOURS = {"unguided": "#0072B2", "guided": "#E69F00", "easy": "#009E73", "other": "#555555"}
"""Okabe-Ito: told apart by colour-blind readers."""


def draw(path: Path, *, title: str, learner: Sequence[Mapping[str, str]], solved: Mapping[str, Sequence[tuple[int, float]]],
         measured: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """`learner`: rows of the learner's metrics. `solved`: arm -> (step, share of hard problems solved so far).
    `measured`: when -> arm -> {"pass@1": ...}."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    steps = [int(row["step"]) for row in learner]
    figure, axes = plt.subplots(2, 2, figsize=(11, 7.5), constrained_layout=True)
    figure.suptitle(title)

    ax = axes[0][0]
    ax.set_title("Hard problems: measured before and after training")
    bars = [(when, arm) for when in ("before", "after") for arm in ("unguided", "guided") if arm in measured.get(when, {})]
    names = sorted({k for when, arm in bars for k in measured[when][arm]}, key=lambda k: int(k.split("@")[1]))
    width = 0.8 / max(1, len(names))
    for i, name in enumerate(names):
        positions = [x + (i - (len(names) - 1) / 2) * width for x in range(len(bars))]
        values = [measured[when][arm][name] for when, arm in bars]
        drawn = ax.bar(positions, values, width * 0.92, color=[COLOURS[arm] for _, arm in bars], alpha=0.5 + 0.5 * i / max(1, len(names) - 1))
        ax.bar_label(drawn, labels=[f"{name}\n{value:.0%}" for value in values], fontsize=7, padding=2)
    ax.set_xticks(range(len(bars)), [f"{arm}\n{when}" for when, arm in bars])
    ax.set_ylim(0, 1.22)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1.0])
    ax.set_ylabel("mean over problems")

    ax = axes[0][1]
    ax.set_title("Hard problems solved at least once while training")
    for arm, points in solved.items():
        if points:
            ax.step([s for s, _ in points], [share for _, share in points], where="post", color=COLOURS.get(arm, COLOURS["other"]), label=arm)
    ax.set_ylim(-0.02, 1.05)
    ax.set_xlabel("optimizer step")
    ax.set_ylabel("share of hard problems")
    if any(solved.values()):
        ax.legend(frameon=False)

    ax = axes[1][0]
    ax.set_title("Success rate of all rollouts, by arm")
    for arm in ("unguided", "guided", "easy"):
        key = f"reward/{arm}/mean"
        points = [(int(row["step"]), float(row[key])) for row in learner if row.get(key, "") != ""]
        if points:
            ax.plot([s for s, _ in points], [v for _, v in points], color=COLOURS[arm], label=arm)
    ax.set_ylim(-0.02, 1.05)
    ax.set_xlabel("optimizer step")
    ax.set_ylabel("mean reward")
    if ax.lines:
        ax.legend(frameon=False)

    ax = axes[1][1]
    ax.set_title("Age of trained tokens, entropy")
    ax.plot(steps, [float(row["lag/mean"]) for row in learner], color=COLOURS["unguided"], label="lag, mean")
    ax.plot(steps, [float(row["lag/max"]) for row in learner], color=COLOURS["unguided"], alpha=0.4, label="lag, max")
    ax.set_xlabel("optimizer step")
    ax.set_ylabel("optimizer steps")
    twin = ax.twinx()
    twin.plot(steps, [float(row["entropy/mean"]) for row in learner], color=COLOURS["easy"], label="entropy (right)")
    twin.set_ylabel("nats a token")
    twin.set_ylim(bottom=0)
    lines = [*ax.lines, *twin.lines]
    if steps:
        ax.legend(lines, [line.get_label() for line in lines], frameon=False, fontsize=8)

    for panel in (*axes.flat,):
        panel.grid(alpha=0.25)
        panel.spines[["top"]].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)
