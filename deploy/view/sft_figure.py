"""The figure of a supervised fine-tuning: loss and entropy over its steps."""

from collections.abc import Sequence
from pathlib import Path

from broker.reports import SftStep
from conf.schema import RunConfig
from deploy.view.figure_kit import boundary_line, include_zero, label, saved_png
from deploy.view.palette import BLUE, OTHER
from learner.sft_batches import Curriculum


def draw(path: Path, reports: Sequence[SftStep], curriculum: Curriculum, config: RunConfig) -> None:
    """Saves the figure as PNG. `reports`: the learner's, one per step."""
    title = (
        f"{config.run.name} · seed {config.run.seed} · {config.sft.data} · {curriculum.num_examples} demonstrations · "
        f"{curriculum.num_steps} steps"
    )
    steps = [report.step for report in reports]
    with saved_png(path, title, rows=1, columns=2, width=9.5, height=3.8) as axes:
        for axis, values, heading, colour in (
            (axes[0], [report.loss for report in reports], "Loss of the responses", BLUE),
            (axes[1], [report.entropy for report in reports], "Entropy on the responses", OTHER),
        ):
            label(axis, heading, "optimizer step (dotted: an epoch ends)", "nats per token")
            axis.plot(steps, values, "o-", ms=3, color=colour)
            for epoch in range(1, curriculum.epochs):
                boundary_line(axis, epoch * curriculum.steps_per_epoch + 0.5)
            include_zero(axis)
