"""The figure of a mining run: how often the model solves each problem, and which prefix is the shortest useful one."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from actors.problems.mining import MinedProblem
from actors.problems.prefix_search import ChosenPrefix, PrefixTrial
from conf.schema import RunConfig
from deploy.view.figure_kit import Axes, include_zero, label, saved_png
from deploy.view.palette import BLUE, BUCKETS, FAINT, ORANGE

BINS = [i / 20 for i in range(21)]


def draw(
    path: Path,
    records: Sequence[MinedProblem],
    chosen: Sequence[ChosenPrefix],
    trials: Sequence[PrefixTrial],
    config: RunConfig,
) -> None:
    """Saves the figure as PNG: three panels, or only the solve rates when no prefix was searched for."""
    columns = 3 if chosen else 1
    title = f"{config.run.name} · {config.model.path} · {len(records)} problems"
    with saved_png(path, title, rows=1, columns=columns, width=4.6 * columns, height=3.8) as axes:
        _solve_rates(axes[0], records, config)
        if chosen:
            _shortest_useful(axes[1], chosen)
            _success(axes[2], trials)


def _solve_rates(axis: Axes, records: Sequence[MinedProblem], config: RunConfig) -> None:
    rates = {
        bucket: [r.successes / r.evidence for r in records if (r.bucket or "none") == bucket and r.evidence]
        for bucket in BUCKETS
    }
    shown = {bucket: values for bucket, values in rates.items() if values}
    label(axis, f"Solve rate, up to {config.mining.samples} samples", "share of samples that are correct", "problems")
    axis.hist(
        list(shown.values()),
        BINS,
        stacked=True,
        color=[BUCKETS[bucket] for bucket in shown],
        label=[f"{bucket} ({len(values)})" for bucket, values in shown.items()],
    )
    axis.legend()


def _shortest_useful(axis: Axes, chosen: Sequence[ChosenPrefix]) -> None:
    longest = max(choice.num_candidates for choice in chosen)
    counts = [sum(choice.index == index for choice in chosen) for index in range(longest)]
    label(axis, "Shortest useful prefix", "candidate, from the shortest", "problems")
    axis.bar([str(index + 1) for index in range(longest)], counts, color=ORANGE)
    axis.bar(["none"], [sum(choice.index is None for choice in chosen)], color=FAINT)


def _success(axis: Axes, trials: Sequence[PrefixTrial]) -> None:
    samples: dict[int, int] = defaultdict(int)
    successes: dict[int, int] = defaultdict(int)
    for trial in trials:
        samples[trial.index] += trial.samples
        successes[trial.index] += trial.successes
    indices = sorted(samples)
    label(axis, "Success while searching", "candidate, from the shortest", "share of samples that are correct")
    axis.plot([i + 1 for i in indices], [successes[i] / samples[i] for i in indices], "o-", color=BLUE)
    axis.set_xticks([i + 1 for i in indices])
    include_zero(axis)
