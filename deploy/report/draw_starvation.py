"""Figures of starvation: rollouts by outcome, for every bucket and arm, and by length."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import TypeVar

from deploy.report.experiments import Experiment, about
from deploy.report.figure_builder import bars
from deploy.report.figure_spec import Absent, Bar, BarPanel, Figure
from deploy.report.run_records import RolloutOutcomes
from deploy.statistics.starvation import DECILES
from deploy.view.palette import BLACK, BLUE, BROWN, ORANGE, OTHER, PALE, PURPLE, SKY, VERMILLION, YELLOW

COLOURS = {
    "trained": BLUE,
    "filtered.zero_advantage": ORANGE,
    "replaced": SKY,
    "stale": VERMILLION,
    "in_flight": YELLOW,
}
"""Outcome -> its fixed colour."""
OTHER_COLOURS = (PURPLE, BLACK, OTHER, PALE, BROWN)
NEVER_WRITTEN = DECILES
"""Position of the bar of rollouts that were never written; bars of lengths have positions from 0."""
Lengths = tuple[int, int]
"""(shortest, longest), tokens."""
K = TypeVar("K", int, tuple[str, str])


def starvation(shown: Sequence[Experiment]) -> list[Figure | Absent]:
    """The figures in the order of the page."""
    return [_by_arm(shown), _by_length(shown)]


def _by_arm(shown: Sequence[Experiment]) -> Figure | Absent:
    stacks = [
        _bar(f"{each.label}: {bucket}, {arm}", rows)
        for each in shown
        for (bucket, arm), rows in _grouped(_outcomes([each]), lambda row: (row.bucket, row.arm)).items()
    ]
    return _figure(
        "starvation",
        "Rollouts by outcome, for every bucket and arm",
        "All rollouts by the outcome of their group.",
        [BarPanel("", stacks, "rollouts")],
        shown,
    )


def _by_length(shown: Sequence[Experiment]) -> Figure | Absent:
    panels = []
    for each in shown:
        rows = _outcomes([each])
        buckets = sorted({row.bucket for row in rows}, key=lambda bucket: (bucket != "hard", bucket))
        for bucket in buckets:
            title = f"{each.label}: {bucket}" if len(buckets) > 1 else each.label
            panels.append(BarPanel(title, by_length(rows, bucket), "rollouts"))
    return _figure(
        "starvation_length",
        "Rollouts by outcome and length",
        "Rollouts by the outcome of their group, the shortest at the top. A bar is a decile of the lengths of all "
        "rollouts of a run, labelled with its tokens and its n rollouts; equal lengths are in one bar, so it may hold "
        "more than a tenth. Each seed has its own deciles, which may overlap: those of similar length share a bar.",
        panels,
        shown,
    )


def _figure(
    name: str, title: str, caption: str, panels: Sequence[BarPanel], shown: Sequence[Experiment]
) -> Figure | Absent:
    rows = _outcomes(shown)
    return bars(
        name,
        title,
        f"{caption} All seeds together. Of {sum(map(_size, rows)):,} rollouts "
        f"{sum(row.truncated for row in rows):,} were truncated and the verifier failed for "
        f"{sum(row.verifier_failure for row in rows):,}.",
        about([each for each in shown if _outcomes([each])] or shown),
        panels,
        _colours(outcome for row in rows for outcome in row.ended),
        reason="no run has a starvation table (starvation.json)",
    )


def by_length(rows: Sequence[RolloutOutcomes], bucket: str) -> list[Bar]:
    """The bars of a bucket, ascending in length, then rollouts that were never written.

    `rows`: those of all buckets of an experiment. A bar is one decile. Several seeds may have more than ten different
    deciles: then they are sorted by their middle, and a bar holds those that fall in one tenth of all rollouts.
    """
    sizes: Counter[Lengths] = Counter()
    for row in rows:
        if row.length_decile is not None:
            sizes[_lengths(row)] += _size(row)
    ordered = sorted(sizes, key=lambda lengths: (sum(lengths), lengths))
    positions = dict(zip(ordered, _positions([sizes[lengths] for lengths in ordered]), strict=True))
    of_bucket = [row for row in rows if row.bucket == bucket]
    by_position = _grouped(
        of_bucket, lambda row: NEVER_WRITTEN if row.length_decile is None else positions[_lengths(row)]
    )
    return [_bar(f"{_length_label(its)}, n {sum(map(_size, its)):,}", its) for its in by_position.values()]


def _positions(sizes: Sequence[int]) -> list[int]:
    """The position of the bar for each of the ascending deciles, by their sizes."""
    if len(sizes) <= DECILES:
        return list(range(len(sizes)))
    middles = [before + size / 2 for before, size in zip(accumulate(sizes, initial=0), sizes, strict=False)]
    return [int(DECILES * middle / max(1, sum(sizes))) for middle in middles]


def _lengths(row: RolloutOutcomes) -> Lengths:
    """Its shortest and longest rollout; the number of the decile twice when they are not known."""
    return row.tokens or (row.length_decile or 0, row.length_decile or 0)


def _length_label(rows: Sequence[RolloutOutcomes]) -> str:
    """The label of a bar, for example: 3-55."""
    if rows[0].length_decile is None:
        return "never written"
    low, high = min(_lengths(row)[0] for row in rows), max(_lengths(row)[1] for row in rows)
    words = f"{low:,}-{high:,}" if low < high else f"{low:,}"
    return words if rows[0].tokens else f"decile {words}"


def _bar(label: str, rows: Sequence[RolloutOutcomes]) -> Bar:
    ended: Counter[str] = Counter()
    for row in rows:
        ended.update(row.ended)
    extra_counts = {
        "truncated": sum(row.truncated for row in rows),
        "verifier_failure": sum(row.verifier_failure for row in rows),
    }
    return Bar(label, dict(ended), extra_counts)


def _grouped(rows: Iterable[RolloutOutcomes], by: Callable[[RolloutOutcomes], K]) -> dict[K, list[RolloutOutcomes]]:
    """The rows by their key, ascending."""
    found: dict[K, list[RolloutOutcomes]] = defaultdict(list)
    for row in rows:
        found[by(row)].append(row)
    return {key: found[key] for key in sorted(found)}


def _size(row: RolloutOutcomes) -> int:
    return sum(row.ended.values())


def _outcomes(shown: Sequence[Experiment]) -> list[RolloutOutcomes]:
    return [row for each in shown for run in each.runs for row in run.rollout_outcomes]


def _colours(outcomes: Iterable[str]) -> dict[str, str]:
    """Outcome -> colour: those with a fixed colour first, then the others in turn."""
    found = set(outcomes)
    others = sorted(found - COLOURS.keys())
    fixed = {outcome: colour for outcome, colour in COLOURS.items() if outcome in found}
    return fixed | {outcome: OTHER_COLOURS[i % len(OTHER_COLOURS)] for i, outcome in enumerate(others)}
