"""The first figure: the share of hard problems that each experiment solves without guidance after training."""

from collections.abc import Sequence

from deploy.report.draw_transfer import UNGUIDED
from deploy.report.experiments import Experiment, about
from deploy.report.figure_builder import dots
from deploy.report.figure_spec import Absent, Dot, DotPanel, Figure, nth_colour
from deploy.report.scores import BEFORE, HARD, Score
from deploy.statistics.estimates import METHODS


def outcome(shown: Sequence[Experiment], scores: Sequence[Score]) -> Figure | Absent:
    hard = [s for s in scores if s.problem_set == HARD and s.arm == UNGUIDED]
    panels, drawn = [], set()
    for k in sorted({s.k for s in hard}):
        rows = []
        for i, each in enumerate(shown):
            stages = {s.stage: s for s in hard if s.k == k and s.experiment == each.label}
            before = stages.pop(BEFORE, None)
            if stages:
                last = list(stages.values())[-1]
                name = f"{each.label} ({last.partial})" if last.partial else each.label
                rows.append(Dot(name, last.estimate, before.estimate.mean if before else None, nth_colour(i)))
                drawn.add(each.label)
        if rows:
            panels.append(DotPanel(f"pass@{k}", rows))
    return dots(
        "outcome",
        "Unguided hard problems, last measurement",
        f"Dot and bar: mean and 95 % interval, {METHODS}. Rings: seeds. Cross: before training. An experiment "
        "without a later measurement is left out.",
        about([each for each in shown if each.label in drawn] or shown),
        panels,
        reason="no run has measured its hard problems after training yet",
    )
