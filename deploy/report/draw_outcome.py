"""The figure at the top: how many hard problems each experiment solves without guidance in the end."""

from collections.abc import Sequence

from deploy.report.draw_transfer import UNGUIDED
from deploy.report.experiments import Experiment, about
from deploy.report.figure import Absent, Dot, DotPanel, Figure, nth_colour
from deploy.report.making import dots
from deploy.report.scores import HARD, Score


def outcome(shown: Sequence[Experiment], scores: Sequence[Score]) -> Figure | Absent:
    mine = [s for s in scores if s.problem_set == HARD and s.arm == UNGUIDED]
    panels = []
    for k in sorted({s.k for s in mine}):
        found = []
        for i, each in enumerate(shown):
            stages = [s for s in mine if s.k == k and s.experiment == each.label]
            if stages:
                before = stages[0].estimate.mean if len(stages) > 1 else None
                found.append(Dot(each.label, stages[-1].estimate, before, nth_colour(i)))
        panels.append(DotPanel(f"pass@{k}", found))
    return dots(
        "outcome",
        "Unguided hard problems, measured last",
        "Dot and bar: mean and 95 % interval, t over seeds, for a single seed bootstrap over problems. Rings: seeds. "
        "Cross: before training.",
        about(shown),
        panels,
        reason="no run has measured its hard problems yet",
    )
