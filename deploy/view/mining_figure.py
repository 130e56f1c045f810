"""The picture of a mining run: how often the model solves what, and where the useful prefixes end."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from actors.problems.mining import MinedProblem
from actors.problems.prefix_search import ChosenPrefix, PrefixTrial
from conf.schema import RunConfig
from deploy.view.palette import BLUE, BUCKETS, FAINT, ORANGE

BINS = [i / 20 for i in range(21)]


def draw(
    path: Path,
    records: Sequence[MinedProblem],
    chosen: Sequence[ChosenPrefix],
    trials: Sequence[PrefixTrial],
    config: RunConfig,
) -> None:
    """Save it as PNG; without a prefix search it is one panel."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    width = 3 if chosen else 1
    figure, axes = plt.subplots(1, width, figsize=(5.2 * width, 4.2), constrained_layout=True, squeeze=False)
    figure.suptitle(f"{config.run.name} · {config.model.path} · {len(records)} problems")
    _solve_rates(axes[0][0], records, config)
    if chosen:
        _chosen(axes[0][1], chosen)
        _success(axes[0][2], trials)
    for panel in axes.flat:
        panel.grid(alpha=0.25)
        panel.spines["top"].set_visible(False)
        panel.spines["right"].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _solve_rates(ax: Any, records: Sequence[MinedProblem], config: RunConfig) -> None:
    ax.set_title(f"Solve rate, up to {config.mining.samples} samples")
    rates = {
        bucket: [r.successes / r.evidence for r in records if (r.bucket or "none") == bucket and r.evidence]
        for bucket in BUCKETS
    }
    shown = {bucket: values for bucket, values in rates.items() if values}
    ax.hist(
        list(shown.values()),
        BINS,
        stacked=True,
        color=[BUCKETS[bucket] for bucket in shown],
        label=[f"{bucket} ({len(values)})" for bucket, values in shown.items()],
    )
    ax.set_xlabel("share of samples that are correct")
    ax.set_ylabel("problems")
    ax.legend(frameon=False)


def _chosen(ax: Any, chosen: Sequence[ChosenPrefix]) -> None:
    ax.set_title("Shortest useful prefix")
    longest = max(choice.num_candidates for choice in chosen)
    counts = [sum(choice.index == index for choice in chosen) for index in range(longest)]
    ax.bar([str(index + 1) for index in range(longest)], counts, color=ORANGE)
    ax.bar(["none"], [sum(choice.index is None for choice in chosen)], color=FAINT)
    ax.set_xlabel("candidate, from the shortest")
    ax.set_ylabel("problems")


def _success(ax: Any, trials: Sequence[PrefixTrial]) -> None:
    ax.set_title("Success while searching")
    samples: dict[int, int] = defaultdict(int)
    successes: dict[int, int] = defaultdict(int)
    for trial in trials:
        samples[trial.index] += trial.samples
        successes[trial.index] += trial.successes
    indices = sorted(samples)
    ax.plot([i + 1 for i in indices], [successes[i] / samples[i] for i in indices], "o-", color=BLUE)
    ax.set_xticks([i + 1 for i in indices])
    ax.set_xlabel("candidate, from the shortest")
    ax.set_ylabel("share of samples that are correct")
    ax.set_ylim(bottom=0)
