"""Figures of how rollouts ended: by bucket and arm, and by their length."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import TypeVar

from deploy.report.experiments import Experiment, about
from deploy.report.figure_builder import bars
from deploy.report.figure_spec import Absent, Bar, BarPanel, Figure
from deploy.report.run_records import Ending
from deploy.statistics.starvation import DECILES
from deploy.view.palette import BLACK, BLUE, BROWN, ORANGE, OTHER, PALE, PURPLE, SKY, VERMILLION, YELLOW

KNOWN = {
    "trained": BLUE,
    "filtered.zero_advantage": ORANGE,
    "replaced": SKY,
    "stale": VERMILLION,
    "in_flight": YELLOW,
}
"""Ways for a rollout to end that have a colour of their own."""
FURTHER = (PURPLE, BLACK, OTHER, PALE, BROWN)
NEVER_WRITTEN = DECILES
"""Place of a bar: after those of the lengths, which count from 0."""
Stretch = tuple[int, int]
"""Shortest and longest, tokens."""
K = TypeVar("K", int, tuple[str, str])


def starvation(shown: Sequence[Experiment]) -> list[Figure | Absent]:
    """The figures in the order of the page."""
    return [_by_arm(shown), _by_length(shown)]


def _by_arm(shown: Sequence[Experiment]) -> Figure | Absent:
    stacks = [
        _bar(f"{each.label}: {bucket}, {arm}", rows)
        for each in shown
        for (bucket, arm), rows in _grouped(_endings([each]), lambda row: (row.bucket, row.arm)).items()
    ]
    return _figure(
        "starvation",
        "How rollouts ended, by bucket and arm",
        "All rollouts by how their group ended.",
        [BarPanel("", stacks, "rollouts")],
        shown,
    )


def _by_length(shown: Sequence[Experiment]) -> Figure | Absent:
    panels = []
    for each in shown:
        rows = _endings([each])
        buckets = sorted({row.bucket for row in rows}, key=lambda bucket: (bucket != "hard", bucket))
        for bucket in buckets:
            title = f"{each.label}: {bucket}" if len(buckets) > 1 else each.label
            panels.append(BarPanel(title, by_length(rows, bucket), "rollouts"))
    return _figure(
        "starvation_length",
        "How rollouts ended, by their length",
        "Rollouts by how their group ended, the shortest at the top. A bar is a decile of the lengths of all rollouts "
        "of a run, named by its tokens and its n rollouts; equal lengths are never parted, so it may hold more than a "
        "tenth. Seeds have deciles of their own, which may overlap: those of like length share a bar.",
        panels,
        shown,
    )


def _figure(
    name: str, title: str, caption: str, panels: Sequence[BarPanel], shown: Sequence[Experiment]
) -> Figure | Absent:
    rows = _endings(shown)
    return bars(
        name,
        title,
        f"{caption} All seeds together. Counted beside: {sum(row.truncated for row in rows):,} truncated and "
        f"{sum(row.verifier_failure for row in rows):,} verifier failures of {sum(map(_size, rows)):,} rollouts.",
        about([each for each in shown if _endings([each])] or shown),
        panels,
        _colours(way for row in rows for way in row.ended),
        reason="the runs keep no starvation accounting (starvation.json)",
    )


def by_length(rows: Sequence[Ending], bucket: str) -> list[Bar]:
    """The bars of a bucket, ascending in length, then what was never written. `rows`: of all buckets of an experiment.

    A bar is one stretch of tokens. Several seeds may have more than ten of them: then a bar holds those that lie in one
    tenth of all rollouts, sorted by their middle, so that the deciles of the seeds meet.
    """
    sizes: Counter[Stretch] = Counter()
    for row in rows:
        if row.length_decile is not None:
            sizes[_stretch(row)] += _size(row)
    ordered = sorted(sizes, key=lambda stretch: (sum(stretch), stretch))
    places = dict(zip(ordered, _places([sizes[stretch] for stretch in ordered]), strict=True))
    mine = [row for row in rows if row.bucket == bucket]
    found = _grouped(mine, lambda row: NEVER_WRITTEN if row.length_decile is None else places[_stretch(row)])
    return [_bar(f"{_tokens(its)}, n {sum(map(_size, its)):,}", its) for its in found.values()]


def _places(sizes: Sequence[int]) -> list[int]:
    """The bar of each stretch."""
    if len(sizes) <= DECILES:
        return list(range(len(sizes)))
    middles = [before + size / 2 for before, size in zip(accumulate(sizes, initial=0), sizes, strict=False)]
    return [int(DECILES * middle / max(1, sum(sizes))) for middle in middles]


def _stretch(row: Ending) -> Stretch:
    """Its tokens; the number of the decile twice where they are not known."""
    return row.tokens or (row.length_decile or 0, row.length_decile or 0)


def _tokens(rows: Sequence[Ending]) -> str:
    """3-55."""
    if rows[0].length_decile is None:
        return "never written"
    low, high = min(_stretch(row)[0] for row in rows), max(_stretch(row)[1] for row in rows)
    words = f"{low:,}-{high:,}" if low < high else f"{low:,}"
    return words if rows[0].tokens else f"decile {words}"


def _bar(label: str, rows: Sequence[Ending]) -> Bar:
    ended: Counter[str] = Counter()
    for row in rows:
        ended.update(row.ended)
    beside = {
        "truncated": sum(row.truncated for row in rows),
        "verifier_failure": sum(row.verifier_failure for row in rows),
    }
    return Bar(label, dict(ended), beside)


def _grouped(rows: Iterable[Ending], by: Callable[[Ending], K]) -> dict[K, list[Ending]]:
    """Ascending by `by`."""
    found: dict[K, list[Ending]] = defaultdict(list)
    for row in rows:
        found[by(row)].append(row)
    return {key: found[key] for key in sorted(found)}


def _size(row: Ending) -> int:
    return sum(row.ended.values())


def _endings(shown: Sequence[Experiment]) -> list[Ending]:
    return [row for each in shown for run in each.runs for row in run.endings]


def _colours(ways: Iterable[str]) -> dict[str, str]:
    """Way of ending -> colour: the known ones first, others in turn."""
    found = set(ways)
    others = sorted(found - KNOWN.keys())
    known = {way: colour for way, colour in KNOWN.items() if way in found}
    return known | {way: FURTHER[i % len(FURTHER)] for i, way in enumerate(others)}
