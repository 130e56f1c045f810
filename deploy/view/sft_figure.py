"""The picture of a fine-tuning: what it imitated how well, and how sure of itself it became."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from conf.schema import RunConfig
from deploy.view.palette import ARMS, OTHER
from learner.sft_batches import Curriculum


def draw(path: Path, reports: Sequence[Mapping[str, str]], curriculum: Curriculum, config: RunConfig) -> None:
    """Save it as PNG. `reports`: one a step."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), constrained_layout=True)
    figure.suptitle(
        f"{config.run.name} · seed {config.run.seed} · {config.sft.data} · {curriculum.num_examples} demonstrations · "
        f"{curriculum.num_steps} steps"
    )
    steps = [int(report["step"]) for report in reports]
    for ax, name, title, colour in (
        (axes[0], "loss/mean", "Loss of the responses", ARMS["unguided"]),
        (axes[1], "entropy/mean", "Entropy on the responses", OTHER),
    ):
        ax.plot(steps, [float(report[name]) for report in reports], "o-", ms=3, color=colour)
        _mark_epochs(ax, curriculum)
        ax.set_title(title)
        ax.set_xlabel("optimizer step (dotted: an epoch ends)")
        ax.set_ylabel("nats a token")
        ax.set_ylim(bottom=0)
        ax.grid(alpha=0.25)
        ax.spines["top"].set_visible(False)
        ax.spines["right"].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _mark_epochs(ax: Any, curriculum: Curriculum) -> None:
    for epoch in range(1, curriculum.epochs):
        ax.axvline(epoch * curriculum.steps_per_epoch + 0.5, color=OTHER, ls=":", lw=1)
