"""Figures of the pipeline: lag of the trained tokens, throughput, groups by outcome, the optimizer."""

from collections import Counter
from collections.abc import Callable, Sequence

from broker.balance import Balance
from broker.reports import (
    CANARY,
    CHECKPOINT,
    OPTIMIZER,
    OTHER,
    PHASES,
    WAIT_INPUT,
    WAIT_LAG,
    WAIT_ROOM,
    WEIGHTS,
    WORK,
    LearnerStep,
)
from deploy.report.curves import (
    PAUSE_S,
    Point,
    active_s,
    centre,
    learner_by_step,
    over_all_seeds,
    step_curve,
    step_width,
)
from deploy.report.experiments import Experiment, about
from deploy.report.figure_builder import bars, curves
from deploy.report.figure_spec import Absent, Bar, BarPanel, Figure, Line, Panel, nth_line
from deploy.report.run_records import RunRecords
from deploy.statistics.role_times import KindTimes, bottleneck, times_by_kind
from deploy.statistics.windows import Sample, rate_by_time, window_width
from deploy.view.palette import (
    BLACK,
    BLUE,
    BROWN,
    GREEN,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    VERMILLION,
    YELLOW,
)

SHARE_OF_TOKENS = 0.001
"""The histogram of ages, and its CSV file, end at the oldest age with at least this share of the trained tokens."""
OUTCOMES = {
    "trained": BLUE,
    "filtered": ORANGE,
    "replaced": SKY,
    "stale": VERMILLION,
    "failed": BLACK,
    "in flight": YELLOW,
    "unaccounted": PURPLE,
}
PHASE_COLOURS = {
    WORK: BLUE,
    OPTIMIZER: SKY,
    WEIGHTS: ORANGE,
    CANARY: YELLOW,
    CHECKPOINT: PURPLE,
    WAIT_INPUT: VERMILLION,
    WAIT_LAG: BROWN,
    WAIT_ROOM: GREEN,
    OTHER: PALE,
}
WORDS = {
    WORK: "work",
    OPTIMIZER: "optimizer",
    WEIGHTS: "weight sync",
    CANARY: "canary",
    CHECKPOINT: "checkpoints",
    WAIT_INPUT: "waiting for input",
    WAIT_LAG: "waiting for the lag bound",
    WAIT_ROOM: "waiting for room",
    OTHER: "other",
}
"""Phase -> its words in the legend, which are those of all kinds of roles."""
STEP, MINUTES = "optimizer step", "minutes of work"
NO_STEP = "the learner reported no step yet"


def pipeline(shown: Sequence[Experiment]) -> list[Figure | Absent]:
    """The figures in the order of the page."""
    return [_lag(shown), _throughput(shown), _times(shown), _accounting(shown), _optimizer(shown)]


def _lag(shown: Sequence[Experiment]) -> Figure | Absent:
    width = step_width(shown)
    ages = [
        nth_line(i, each.label, over_all_seeds([age_shares(run.learner) for run in each.runs], float, high=1.0))
        for i, each in enumerate(shown)
    ]
    return curves(
        "lag",
        "Age of the trained tokens",
        "Lag is the learner's step minus the policy version that wrote a token. Left: its mean over tokens in windows "
        f"of {width} steps. Right: share of all trained tokens by age, up to the oldest age with at least "
        f"{SHARE_OF_TOKENS:.1%}. Bands are 95 % t intervals over seeds.",
        about(shown),
        [
            Panel("mean lag", STEP, "optimizer steps", _of_learner(shown, lambda step: step.lag_mean)),
            Panel("staleness", "age, optimizer steps", "share of trained tokens", ages),
        ],
        reason=NO_STEP,
    )


def age_shares(learner: Sequence[LearnerStep]) -> dict[int, float]:
    """Age in steps -> share of all trained tokens, up to the oldest age with at least `SHARE_OF_TOKENS`."""
    tokens: Counter[int] = Counter()
    for step in learner:
        tokens.update(step.lag_histogram)
    total = tokens.total()
    oldest = max((age for age, count in tokens.items() if count >= SHARE_OF_TOKENS * total), default=-1)
    return {age: tokens[age] / total for age in range(oldest + 1)}


def _throughput(shown: Sequence[Experiment]) -> Figure | Absent:
    width_s = max(5, window_width(_seconds(run) for each in shown for run in each.runs))

    def rates(events: Callable[[RunRecords], list[tuple[float, float]]], each: Experiment) -> list[Point]:
        minutes = centre(width_s / 60)
        return over_all_seeds([rate_by_time(events(run), width_s) for run in each.runs], minutes)

    return curves(
        "throughput",
        "Throughput",
        f"Tokens per second in windows of {width_s} s, written by the actors and trained by the learner; tokens of "
        "filtered groups are written but not trained. Pauses of more than "
        f"{PAUSE_S:.0f} s without a report, such as before a resume, are left out. Right: how long generation stopped "
        "for a weight sync. Bands are 95 % t intervals over seeds.",
        about(shown),
        [
            Panel(
                "written", MINUTES, "tokens/s", [nth_line(i, e.label, rates(written, e)) for i, e in enumerate(shown)]
            ),
            Panel(
                "trained", MINUTES, "tokens/s", [nth_line(i, e.label, rates(trained, e)) for i, e in enumerate(shown)]
            ),
            Panel(
                "stall of a weight sync",
                STEP,
                "ms",
                [nth_line(i, e.label, step_curve(e, step_width(shown), _stalls)) for i, e in enumerate(shown)],
            ),
        ],
        reason=NO_STEP,
    )


def written(run: RunRecords) -> list[tuple[float, float]]:
    """(seconds of work, tokens that actors wrote since their last report)."""
    at = active_s(run)
    return [(at(output.unix_s), float(output.tokens)) for output in run.outputs]


def trained(run: RunRecords) -> list[tuple[float, float]]:
    """(seconds of work, tokens trained) of every step."""
    at = active_s(run)
    return [(at(step.unix_s), float(step.tokens)) for step in run.learner]


def _stalls(run: RunRecords) -> list[Sample]:
    """(policy version before it, stall in ms, 1) of every weight sync."""
    return [(sync.version - 1, sync.stall_ms, 1.0) for sync in run.syncs]


def _seconds(run: RunRecords) -> float:
    """Seconds of work from the first to the last step."""
    at = active_s(run)
    return at(run.learner[-1].unix_s) - at(run.learner[0].unix_s) if run.learner else 0.0


def _times(shown: Sequence[Experiment]) -> Figure | Absent:
    by_label = {each.label: times_by_kind(times for run in each.runs for times in run.times) for each in shown}
    panels = [
        BarPanel(kind, [_time_bar(label, times[kind]) for label, times in by_label.items() if kind in times], "time")
        for kind in PHASES
    ]
    lines = [f"{label}: {line}." for label, times in by_label.items() if (line := bottleneck(times)) is not None]
    return bars(
        "times",
        "Where the time goes",
        "Share of the time of each kind of role. Work is forward and backward of the learner, sampling of the actors "
        "(by the share of the engine's room for groups that is in use), advantages of preprocessing. Waiting for input "
        "is waiting for a batch, for a group to claim, or for rollouts; waiting for room is for a full stream or ring. "
        "All seeds together. " + " ".join(lines),
        about(shown),
        [panel for panel in panels if panel.bars],
        {WORDS[phase]: colour for phase, colour in PHASE_COLOURS.items()},
        reason="no run has reports of its roles' times",
    )


def _time_bar(label: str, times: KindTimes) -> Bar:
    return Bar(label, {WORDS[phase]: share for phase, share in times.shares.items()})


def _accounting(shown: Sequence[Experiment]) -> Figure | Absent:
    stacks = []
    for each in shown:
        counts = [outcome_counts(run.balance) for run in each.runs if run.balance is not None]
        stacks.append(Bar(each.label, dict(sum(counts, Counter()))))
    return bars(
        "accounting",
        "Groups by outcome",
        "Groups issued, by outcome: filtered groups had equal rewards and so no gradient, replaced ones were pushed "
        "out of a full ring, stale ones exceeded learner.max_lag. All seeds together.",
        about(shown),
        [BarPanel("", stacks, "groups issued")],
        OUTCOMES,
        reason="no run has a balance",
    )


def outcome_counts(balance: Balance) -> Counter[str]:
    """Groups by outcome; `unaccounted` is the difference when the balance does not hold."""
    return Counter(
        {
            "trained": balance.trained,
            "filtered": sum(balance.filtered.values()),
            "replaced": balance.replaced,
            "stale": balance.stale,
            "failed": sum(balance.failed.values()),
            "in flight": sum(balance.in_flight.values()),
            "unaccounted": max(0, balance.issued - balance.trained - balance.dropped - sum(balance.in_flight.values())),
        }
    )


def _optimizer(shown: Sequence[Experiment]) -> Figure | Absent:
    return curves(
        "optimizer",
        "Optimizer",
        "Effective sample size of the importance ratios (1: on-policy), share of tokens whose ratio is out of bounds, "
        "norm of the gradient before clipping, and tokens per completion. A collapse shows as ratios out of "
        f"bounds and a changing length. Means over tokens in windows of {step_width(shown)} steps; bands are 95 % "
        "t intervals over seeds.",
        about(shown),
        [
            Panel("effective sample size", STEP, "share of tokens", _of_learner(shown, lambda step: step.ess, 1.0)),
            Panel("ratios out of bounds", STEP, "share", _of_learner(shown, lambda step: step.clip_share, 1.0)),
            Panel("gradient", STEP, "norm", _of_learner(shown, lambda step: step.grad_norm)),
            Panel("completion", STEP, "tokens", _of_learner(shown, lambda step: step.completion_tokens_mean)),
        ],
        reason=NO_STEP,
    )


def _of_learner(
    shown: Sequence[Experiment], value: Callable[[LearnerStep], float], high: float = float("inf")
) -> list[Line]:
    """One line per experiment: the mean over tokens of a value that the learner reports."""
    width = step_width(shown)
    return [
        nth_line(i, each.label, step_curve(each, width, lambda run: learner_by_step(run.learner, value), high=high))
        for i, each in enumerate(shown)
    ]
