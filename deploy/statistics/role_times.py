"""Where the time of the roles of a run went, and which of them holds the others up. Pure.

The time of a kind of role (learner, actor, preprocess) is that of all its processes together.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from broker.reports import (
    CANARY,
    CHECKPOINT,
    PHASES,
    WAIT_INPUT,
    WAIT_LAG,
    WAIT_ROOM,
    WEIGHTS,
    WORK,
    RoleTimes,
)

WINDOW_S = 60.0
"""Time whose reports decide what the bottleneck is now, seconds."""
QUIET = 0.05
"""Share of its time that a role may lose without being mentioned."""
BUSY = 0.8
"""Share of work from which preprocessing counts as too slow, when the learner waits."""


@dataclass(frozen=True)
class KindTimes:
    """Time of all roles of one kind."""

    wall_s: float
    """Sum over the roles, seconds."""
    shares: Mapping[str, float]
    """Phase -> share of `wall_s`, in the order of `PHASES`; they sum to 1."""
    memory_mib: float
    """Largest resident memory of each role, summed over the roles."""

    def share(self, *phases: str) -> float:
        return sum(self.shares.get(phase, 0.0) for phase in phases)

    def described(self, kind: str) -> str:
        """The phases that take at least half a percent, such as `sampling 88%, canary 3%, other 9%`."""
        return ", ".join(f"{PHASES[kind][phase]} {share:.0%}" for phase, share in self.shares.items() if share >= 0.005)


NOTHING = KindTimes(0.0, {}, 0.0)


def times_by_kind(reports: Iterable[RoleTimes]) -> dict[str, KindTimes]:
    """Kind -> its time in these reports, in the order of `PHASES`; kinds without time are left out."""
    seconds: defaultdict[str, Counter[str]] = defaultdict(Counter)
    memory_mib: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for report in reports:
        seconds[report.kind].update(report.seconds)
        memory = memory_mib[report.kind]
        memory[report.role] = max(memory.get(report.role, 0.0), report.memory_mib)
    found = {}
    for kind, phases in PHASES.items():
        if wall_s := seconds[kind].total():
            shares = {phase: seconds[kind][phase] / wall_s for phase in phases if seconds[kind][phase]}
            found[kind] = KindTimes(wall_s, shares, sum(memory_mib[kind].values()))
    return found


def newest(reports: Iterable[RoleTimes], window_s: float = WINDOW_S) -> list[RoleTimes]:
    """The reports of the newest `window_s` seconds before the last of them, oldest first."""
    ordered = sorted(reports, key=lambda report: report.unix_s)
    return [report for report in ordered if report.unix_s > ordered[-1].unix_s - window_s]


def bottleneck(times: Mapping[str, KindTimes]) -> str | None:
    """What holds the run up and what helps, in one line; None when no role loses `QUIET` of its time.

    Of all losses the largest is named. Waiting is the fault of another role: the line says which.
    """
    losses = [loss for loss in _losses(times) if loss[0] >= QUIET]
    return max(losses, key=lambda loss: loss[0])[1] if losses else None


def _losses(times: Mapping[str, KindTimes]) -> Iterator[tuple[float, str]]:
    """(share of its time that a role loses, the line about it)."""
    learner, actor, preprocess = (times.get(kind, NOTHING) for kind in PHASES)
    starved, lag, room = learner.share(WAIT_INPUT), actor.share(WAIT_LAG), actor.share(WAIT_ROOM)
    if starved >= QUIET and lag >= QUIET:
        both = f"actors wait {lag:.0%} for the lag bound and the learner {starved:.0%} for them"
        yield max(starved, lag), f"{both}: {_OVERLAP}"
    else:
        yield starved, f"learner waits {starved:.0%}: {_why_starved(actor, preprocess)}"
        yield lag, f"learner is the bottleneck: actors wait {lag:.0%} for the lag bound; {_faster(learner)}"
    if preprocess.share(WAIT_ROOM) >= QUIET:
        yield room, f"learner is the bottleneck: actors wait {room:.0%} for a full ring; {_faster(learner)}"
    else:
        full = f"actors wait {room:.0%} for a full stream"
        yield room, f"preprocess is the bottleneck: {full}; raise preprocess.num_workers"
    paused, publishing, saving = actor.share(WEIGHTS, CANARY), learner.share(WEIGHTS), learner.share(CHECKPOINT)
    yield paused, f"actors are paused {paused:.0%} for weights: {_PUBLISH_LESS} or weights.canary_every"
    yield publishing, f"learner publishes weights {publishing:.0%} of its time: {_PUBLISH_LESS}"
    yield saving, f"learner saves checkpoints {saving:.0%} of its time: raise learner.checkpoint_every"


_PUBLISH_LESS = "raise weights.every_steps"
_OVERLAP = "a larger learner.max_lag or learner.batch_samples is faster, but a group then teaches less"


def _why_starved(actor: KindTimes, preprocess: KindTimes) -> str:
    """Why the learner waits for batches."""
    if preprocess.share(WORK) >= BUSY:
        return f"preprocess works {preprocess.share(WORK):.0%}; raise preprocess.num_workers"
    if (exhausted := actor.share(WAIT_INPUT)) >= QUIET:
        return f"actors find nothing to claim {exhausted:.0%}; run.max_groups is used up"
    if (paused := actor.share(WEIGHTS, CANARY)) >= QUIET:
        return f"engines are slower and paused {paused:.0%} for weights; {_PUBLISH_LESS} or add an actor"
    return "engines are slower; add an actor or lower learner.batch_samples"


def _faster(learner: KindTimes) -> str:
    work = learner.share(WORK)
    return f"forward and backward take {work:.0%}; add a rank (learner.num_ranks) or use fewer actors"
