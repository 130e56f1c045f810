"""Figures of who gets the gradient: advantage and tokens by bucket and arm, cosines, and how rollouts ended."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from deploy.colours import BLACK, BLUE, ORANGE, OTHER, PURPLE, SKY, VERMILLION, YELLOW
from deploy.report.curves import Point, Sample, learner_by_step, step_curve, step_width
from deploy.report.experiments import Experiment, about
from deploy.report.figure import Absent, Bar, BarPanel, Figure, Line, Panel, arm_line, nth_colour
from deploy.report.making import bars, curves
from deploy.report.records import Ending, RunRecords

SHARES = {"share/advantage/": ("advantage", "-"), "share/tokens/": ("tokens", "--")}
COSINE = "gradient/cosine/"
KNOWN = {
    "trained": BLUE,
    "filtered.zero_advantage": ORANGE,
    "replaced": SKY,
    "stale": VERMILLION,
    "in_flight": YELLOW,
}
"""Ways for a rollout to end that have a colour of their own."""
FURTHER = (PURPLE, BLACK, OTHER, "#BBBBBB", "#8C564B")


def interference(shown: Sequence[Experiment]) -> list[Figure | Absent]:
    """The figures in the order of the page."""
    return [_shares(shown), _cosines(shown), _by_arm(shown), _by_length(shown)]


def _shares(shown: Sequence[Experiment]) -> Figure | Absent:
    width = step_width(shown)
    panels = []
    for each in shown:
        lines = [
            arm_line(arm, _curve(each, width, partial(shares, key=key, prefix=prefix)), f"{bucket}: {of}", style=style)
            for prefix, (of, style) in SHARES.items()
            for key in _keys(each, prefix)
            for bucket, _, arm in [key.removeprefix(prefix).partition("/")]
        ]
        panels.append(Panel(each.label, "optimizer step", "share", lines, share=True))
    return curves(
        "shares",
        "Who drives the update",
        "Share of the summed absolute advantage and of the trained tokens that each bucket and arm has in a step, in "
        f"windows of {width} steps. A hard bucket whose share of advantage goes to nothing is starved. Bands are 95 % "
        "t intervals over seeds.",
        about(shown),
        panels,
        reason="the runs report no shares of advantage and tokens by bucket and arm",
    )


def _cosines(shown: Sequence[Experiment]) -> Figure | Absent:
    width = step_width(shown)
    panels = []
    for each in shown:
        lines = [
            Line(
                pair(key),
                _curve(each, width, partial(_cosine, key=key), low=-1.0),
                nth_colour(i),
                "--" if key.count("/") > COSINE.count("/") + 1 else "-",
                ".",
            )
            for i, key in enumerate(sorted(_keys(each, COSINE), key=lambda key: (key.count("/"), key)))
        ]
        panels.append(Panel(each.label, "optimizer step", "cosine", lines, threshold=0.0))
    return curves(
        "cosines",
        "Gradient cosine between buckets",
        "Cosine between the gradients of two buckets at the same weights; below zero a step for one undoes the other. "
        f"Windows of {width} steps; bands are 95 % t intervals over seeds.",
        about(shown),
        panels,
        reason="the runs did not measure gradient cosines, which are off by default",
    )


def _by_arm(shown: Sequence[Experiment]) -> Figure | Absent:
    stacks = [
        Bar(f"{each.label}: {bar.label}", bar.parts)
        for each in shown
        for bar in ended(_endings([each]), lambda row: f"{row.bucket}, {row.arm}")
    ]
    return _starvation("starvation", "How rollouts ended, by bucket and arm", [BarPanel("", stacks, "rollouts")], shown)


def _by_length(shown: Sequence[Experiment]) -> Figure | Absent:
    panels = [BarPanel(each.label, ended(_endings([each]), _decile), "rollouts") for each in shown]
    title = "How rollouts ended, by decile of their length"
    return _starvation("starvation_length", title, panels, shown)


def _starvation(name: str, title: str, panels: Sequence[BarPanel], shown: Sequence[Experiment]) -> Figure | Absent:
    rows = _endings(shown)
    return bars(
        name,
        title,
        "All rollouts by how their group ended; decile 1 holds the shortest tenth. All seeds together. Counted beside: "
        f"{sum(row.truncated for row in rows):,} truncated and {sum(row.verifier_failure for row in rows):,} verifier "
        f"failures of {sum(row.rollouts for row in rows):,} rollouts.",
        about([each for each in shown if _endings([each])] or shown),
        panels,
        _colours(way for row in rows for way in row.ended),
        reason="the runs keep no starvation accounting (starvation.json)",
    )


def _endings(shown: Sequence[Experiment]) -> list[Ending]:
    return [row for each in shown for run in each.runs for row in run.endings]


def _decile(row: Ending) -> str:
    """Ascending as text."""
    return "never written" if row.length_decile is None else f"{row.length_decile:2d}"


def ended(rows: Iterable[Ending], by: Callable[[Ending], str]) -> list[Bar]:
    """One bar for each value of `by`, ascending: way of ending -> rollouts."""
    sums: dict[str, Counter[str]] = {}
    for row in rows:
        sums.setdefault(by(row), Counter()).update(row.ended)
    return [Bar(name, dict(sums[name])) for name in sorted(sums)]


def _colours(ways: Iterable[str]) -> dict[str, str]:
    """Way of ending -> colour: the known ones first, others in turn."""
    found = set(ways)
    others = sorted(found - KNOWN.keys())
    known = {way: colour for way, colour in KNOWN.items() if way in found}
    return known | {way: FURTHER[i % len(FURTHER)] for i, way in enumerate(others)}


def _keys(each: Experiment, prefix: str) -> list[str]:
    return sorted({key for run in each.runs for news in run.learner for key in news if key.startswith(prefix)})


def shares(run: RunRecords, key: str, prefix: str) -> list[Sample]:
    """(weight version a step began with, share, 1): who has no rollout in a step has no part in it."""
    return [
        (int(news["step"]) - 1, float(news.get(key, 0.0)), 1.0)
        for news in run.learner
        if any(name.startswith(prefix) for name in news)
    ]


def pair(key: str) -> str:
    """.../easy/hard -> easy and hard; with arms, .../easy/easy/hard/unguided -> easy, easy and hard, unguided."""
    parts = key.removeprefix(COSINE).split("/")
    middle = len(parts) // 2
    return f"{', '.join(parts[:middle])} and {', '.join(parts[middle:])}"


def _cosine(run: RunRecords, key: str) -> list[Sample]:
    return learner_by_step(run.learner, key)


def _curve(
    each: Experiment, width: int, samples: Callable[[RunRecords], list[Sample]], low: float = 0.0
) -> list[Point]:
    return step_curve(each, width, samples, low=low, high=1.0)
