"""Figures of interference: advantage, tokens and change of reward by bucket and arm, and gradient cosines."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from broker.reports import LearnerStep
from deploy.report.curves import Point, learner_by_step, part_success, slope_curve, step_curve, step_width
from deploy.report.experiments import Experiment, about
from deploy.report.figure_builder import curves
from deploy.report.figure_spec import Absent, Figure, Line, Panel, arm_line, nth_colour, part_line
from deploy.report.run_records import RunRecords
from deploy.statistics.windows import TREND_WINDOWS, Sample

ByPart = Callable[[LearnerStep], Mapping[str, float]]
"""Values of a step by part (`bucket/arm`), or by pair of parts."""


def _advantage(step: LearnerStep) -> Mapping[str, float]:
    return step.advantage_share


def _tokens(step: LearnerStep) -> Mapping[str, float]:
    return step.token_share


def _cosine(step: LearnerStep) -> Mapping[str, float]:
    return step.gradient_cosine


SHARES: tuple[tuple[ByPart, str, str], ...] = ((_advantage, "advantage", "-"), (_tokens, "tokens", "--"))


def interference(shown: Sequence[Experiment]) -> list[Figure | Absent]:
    """The figures in the order of the page."""
    return [_shares(shown), _reward_change(shown), _cosines(shown)]


def _shares(shown: Sequence[Experiment]) -> Figure | Absent:
    width = step_width(shown)
    panels = []
    for each in shown:
        lines = [
            arm_line(arm, _curve(each, width, partial(shares, part=part, of=of)), f"{bucket}: {name}", style=style)
            for of, name, style in SHARES
            for part in _parts(each, of)
            for bucket, _, arm in [part.partition("/")]
        ]
        panels.append(Panel(each.label, "optimizer step", "share", lines, share=True))
    return curves(
        "shares",
        "Shares of the update",
        "Share of each bucket and arm in the summed absolute advantage and in the trained tokens of a step, in "
        f"windows of {width} steps. A hard bucket whose share of advantage goes to zero is starved. Bands are 95 % "
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
                pair(parts),
                _curve(each, width, partial(cosine_by_step, parts=parts), low=-1.0),
                nth_colour(i),
                "--" if parts.count("/") > 1 else "-",
                ".",
            )
            for i, parts in enumerate(sorted(_parts(each, _cosine), key=lambda parts: (parts.count("/"), parts)))
        ]
        panels.append(Panel(each.label, "optimizer step", "cosine", lines, threshold=0.0))
    return curves(
        "cosines",
        "Gradient cosine between buckets and between arms",
        "Cosine between the gradients of two buckets, or of two arms, at the same weights; below zero a step for one "
        f"works against the other. Windows of {width} steps; bands are 95 % t intervals over seeds.",
        about(shown),
        panels,
        reason="the runs did not measure gradient cosines, which are off by default",
    )


def _reward_change(shown: Sequence[Experiment]) -> Figure | Absent:
    width = step_width(shown)
    panels = [
        Panel(
            each.label,
            "optimizer step",
            "reward per step",
            [
                part_line(arm, bucket, slope_curve(each, width, partial(part_success, arm=arm, bucket=bucket)))
                for arm, bucket in each.parts
            ],
            threshold=0.0,
            tight=True,
        )
        for each in shown
    ]
    return curves(
        "reward_change",
        "Change of reward by arm and bucket",
        "Change of the mean reward of an arm and bucket in one optimizer step: the least-squares slope over "
        f"{TREND_WINDOWS * width} steps, drawn at their middle, of all judged rollouts, those of filtered groups "
        "included. A hard bucket that stays on the dashed line at zero while an easy one is above it does not benefit "
        "from the updates. Bands are 95 % t intervals over seeds and may exceed the axis; thin lines are the seeds.",
        about(shown),
        panels,
        reason=f"no run took {TREND_WINDOWS * width} steps with judged rollouts yet",
    )


def _parts(each: Experiment, of: ByPart) -> list[str]:
    return sorted({part for run in each.runs for step in run.learner for part in of(step)})


def shares(run: RunRecords, part: str, of: ByPart) -> list[Sample]:
    """(policy version a step began with, share, 1). The share is 0 in a step without rollouts of the bucket and arm."""
    return [(step.step - 1, of(step).get(part, 0.0), 1.0) for step in run.learner if of(step)]


def pair(parts: str) -> str:
    """easy/hard -> easy and hard; with arms, easy/easy/hard/unguided -> easy, easy and hard, unguided."""
    words = parts.split("/")
    middle = len(words) // 2
    return f"{', '.join(words[:middle])} and {', '.join(words[middle:])}"


def cosine_by_step(run: RunRecords, parts: str) -> list[Sample]:
    """`learner_by_step` of one gradient cosine."""
    return learner_by_step(run.learner, lambda step: step.gradient_cosine.get(parts))


def _curve(
    each: Experiment, width: int, samples: Callable[[RunRecords], list[Sample]], low: float = 0.0
) -> list[Point]:
    return step_curve(each, width, samples, low=low, high=1.0)
