"""Figures of learning: solvability, evaluations, reward, entropy, and the trajectory of easy and hard reward."""

from collections.abc import Iterator, Sequence
from functools import partial

from deploy.report.curves import Point, end, learner_by_step, part_success, step_curve, step_width, success_by_step
from deploy.report.experiments import Experiment, about
from deploy.report.figure_builder import curves
from deploy.report.figure_spec import Absent, Figure, Panel, nth_line, part_line
from deploy.report.run_records import RunRecords
from deploy.statistics.estimates import METHODS, Estimate, over_seeds_of_problems, score
from deploy.statistics.solvability import solvability, unguided_by_rollouts, unguided_by_step
from deploy.statistics.windows import Sample, common_windows, window_width

KS = (8, 32)
"""Figures 3, 4 and 6 of the paper show pass@8, figure 10 shows pass@32."""
STEP, ROLLOUTS = "optimizer step", "rollouts spent, all arms"
MORE_STEPS = 3
"""Factor by which the windows of the trajectory are wider, because it is noisy on both axes."""
SEEDS = "Bands are 95 % t intervals over seeds, thin lines the seeds; a curve ends with the first of its seeds."


def learning(shown: Sequence[Experiment]) -> list[Figure | Absent]:
    """The figures in the order of the page."""
    return [_solvability(shown), _evaluations(shown), _reward(shown), _entropy(shown), _trajectory(shown)]


def _solvability(shown: Sequence[Experiment]) -> Figure | Absent:
    by_rollouts = window_width(run.rollouts for each in shown for run in each.runs)
    panels = []
    for k in KS:
        for over, label, width in (("steps", STEP, step_width(shown)), ("rollouts", ROLLOUTS, by_rollouts)):
            lines = [
                nth_line(i, each.label, _solvable(each, k, width, over_steps=over == "steps"))
                for i, each in enumerate(shown)
            ]
            panels.append(Panel(f"pass@{k} over {over}", label, "share of hard problems", lines, share=True))
    return curves(
        "solvability",
        "Solvability: hard problems with a success among k unguided rollouts",
        "Unbiased pass@k of the newest unguided training groups of each hard problem that hold k judged rollouts, "
        "averaged over problems; it lags behind the policy by the age of these groups. A curve begins when half of the "
        f"problems have k rollouts and ends with the first of its seeds. Bands are 95 % intervals, {METHODS}; thin "
        "lines the seeds. As in figures 3, 4, 6 and 10 of the paper.",
        about(shown),
        panels,
        reason="no run has unguided rollouts of half of its hard problems yet",
    )


def _solvable(each: Experiment, k: int, width: int, *, over_steps: bool) -> list[Point]:
    ordered = unguided_by_step if over_steps else unguided_by_rollouts
    seeds = [
        solvability(ordered(run.groups), len(run.hard), k, width, run.steps if over_steps else run.rollouts)
        for run in each.runs
    ]
    seeds = [seed for seed in seeds if seed]
    return [
        Point(end(width)(window), over_seeds_of_problems([seed[window].values for seed in seeds]))
        for window in common_windows(seeds)
    ]


def _evaluations(shown: Sequence[Experiment]) -> Figure | Absent:
    ks = {1, *(run.config.evaluation.every_samples for each in shown for run in each.runs)}
    return curves(
        "evaluations",
        "Hard problems evaluated during training",
        "Unbiased pass@k of a single policy version, without guidance, from rollouts that are not trained on. Bands "
        f"are 95 % intervals, {METHODS}.",
        about(shown),
        [
            Panel(
                f"pass@{k}",
                STEP,
                "share of hard problems",
                [nth_line(i, each.label, list(_evaluated(each, k)), marker=".") for i, each in enumerate(shown)],
                share=True,
            )
            for k in sorted(ks)
        ],
        reason="no run was evaluated during training (evaluation.every_steps)",
    )


def _evaluated(each: Experiment, k: int) -> Iterator[Point]:
    """Pass@k at the steps at which every seed with evaluations has results."""
    seeds = [found for run in each.runs if (found := {step: r for step, r in run.evaluations.items() if r})]
    for step in common_windows(seeds):
        if (estimate := score([seed[step] for seed in seeds], k)) is not None:
            yield Point(step, estimate)


def _reward(shown: Sequence[Experiment]) -> Figure | Absent:
    width = step_width(shown)
    panels = []
    for each in shown:
        lines = [
            part_line(arm, bucket, step_curve(each, width, partial(part_success, arm=arm, bucket=bucket), high=1.0))
            for arm, bucket in each.parts
        ]
        panels.append(Panel(each.label, STEP, "mean reward", lines, share=True))
    return curves(
        "reward",
        "Reward by arm and bucket during training",
        f"Mean reward of all judged training rollouts in windows of {width} steps. The arms unguided and guided draw "
        f"hard problems, easy and easier their own buckets. {SEEDS} As in figures 4b and 6b.",
        about(shown),
        panels,
        reason="no rollout was judged yet",
    )


def entropy_by_step(run: RunRecords) -> list[Sample]:
    """`learner_by_step` of the entropy."""
    return learner_by_step(run.learner, lambda step: step.entropy)


def _entropy(shown: Sequence[Experiment]) -> Figure | Absent:
    width = step_width(shown)
    lines = [
        nth_line(i, each.label, step_curve(each, width, entropy_by_step))
        for i, each in enumerate(shown)
    ]
    return curves(
        "entropy",
        "Token entropy",
        "Entropy of the policy at the trained tokens, at the sampling temperature, averaged over tokens in windows of "
        f"{width} steps. {SEEDS} As in figures 3, 4c, 6c and 11.",
        about(shown),
        [Panel("", STEP, "nats per token", lines)],
        reason="the learner reported no step yet",
    )


def _trajectory(shown: Sequence[Experiment]) -> Figure | Absent:
    """Figure 5b: not a curve over steps, but J(hard) over J(easy)."""
    width = MORE_STEPS * step_width(shown)
    lines = []
    for i, each in enumerate(shown):
        for arm in ("easy", "easier"):
            if arm in each.arms:
                name = each.label if arm == "easy" else f"{each.label}, {arm}"
                lines.append(nth_line(i, name, list(_jointly(each, arm, width)), marker="o"))
    return curves(
        "trajectory",
        "Interference: J(easy) against J(hard)",
        f"Mean reward of unguided hard rollouts over mean reward of easy ones in windows of {width} steps, means over "
        "seeds. A ring marks the start. A path along the bottom shows interference. As in figure 5b.",
        about([each for each in shown if {"easy", "easier"} & set(each.arms)] or shown),
        [Panel("", "J(easy)", "J(hard), unguided", lines, share=True, share_x=True)],
        reason="no run trained on both easy and unguided hard problems",
    )


def _jointly(each: Experiment, easy: str, width: int) -> Iterator[Point]:
    """(mean reward of the easy arm, mean reward of the unguided one) of each window that has both."""
    hard = {p.x: p.y for p in step_curve(each, width, lambda run: success_by_step(run.groups, "unguided"))}
    for point in step_curve(each, width, lambda run: success_by_step(run.groups, easy)):
        if point.x in hard:
            mean = hard[point.x].mean
            yield Point(point.y.mean, Estimate(mean, None, None, hard[point.x].values, "none"))
