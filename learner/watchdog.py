"""Sees a collapse of the policy coming, and decides what to do about it. Pure: a function of statistics and state.

A step is judged before its gradient is applied, because its statistics are known by then:

    ess, drift              of this batch alone: the policy has moved too far from the one that sampled it, and a few
                            tokens carry the gradient
    reward, no_answer, cut  of the newest `window` steps, compared with the best level of the last `MEMORY` steps: the
                            policy itself has become worse

A step is unhealthy if any of these is beyond its bound. Under `skip` the gradient of a batch with too small an
effective sample size or too large a drift is dropped: its version keeps the weights, and once the engines have them,
the next batches are on-policy again. A worse policy is no reason to drop a gradient. Under `rollback`, once
`unhealthy_steps` of the newest `window` steps are unhealthy, the weights of the last healthy checkpoint are restored,
and the learning rate is multiplied by `rollback_rate`.

A checkpoint is healthy if none of the `window` steps before it was unhealthy, and confirmed after `window` more healthy
steps: a collapse shows later than it begins. Until another one is confirmed it stays the one to return to.

The state is stored in each checkpoint, so that a learner that resumes there decides the same again.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from conf.schema import WatchdogSettings

MEMORY = 64
"""Number of newest steps whose best level counts as the recent healthy one."""


@dataclass(frozen=True)
class Signals:
    """What is known of a step before its gradient is applied. The same on all ranks."""

    step: int
    ess: float | None
    """Effective sample size of the importance ratios, 0 to 1; None without a token that the policy sampled."""
    drift: float | None
    """Root mean square of log pi - log pi_behaviour over the rollouts that are not of lag 0 as a whole, nats; None
    without such a token."""
    reward: float
    """Mean reward of the judged rollouts of the batch."""
    no_answer: float
    """Share of the rollouts whose verdict is `no_answer`."""
    cut: float
    """Share of the rollouts that the token budget cut."""
    oldest_version: int
    """Policy version of the oldest token."""


@dataclass(frozen=True)
class Level:
    """Levels of one step."""

    step: int
    reward: float
    no_answer: float
    cut: float


@dataclass(frozen=True)
class Health:
    """The state of the watchdog between two steps."""

    unhealthy: tuple[bool, ...] = ()
    """Of the newest `window` judged steps, oldest first."""
    levels: tuple[Level, ...] = ()
    """Of the newest `MEMORY` judged steps, oldest first."""
    confirmed: int | None = None
    """Step of the checkpoint to return to."""
    pending: int | None = None
    """Step of the checkpoint that replaces it once it is confirmed."""
    pending_steps: int = 0
    """Healthy steps since `pending`."""
    rollbacks: int = 0
    restored: int = 0
    """Version under which the weights of the last rollback were announced; 0 before the first."""

    @property
    def is_good(self) -> bool:
        return not any(self.unhealthy)

    def plain(self) -> dict[str, Any]:
        """As plain values, for a manifest."""
        return asdict(self)

    @classmethod
    def from_plain(cls, values: dict[str, Any]) -> "Health":
        """The inverse of `plain`; tuples may have become lists."""
        levels = tuple(Level(**level) for level in values["levels"])
        return cls(**{**values, "unhealthy": tuple(values["unhealthy"]), "levels": levels})


@dataclass(frozen=True)
class Verdict:
    """What to do about a step."""

    reasons: tuple[str, ...] = ()
    """Why it is unhealthy, each with value and bound; empty for a healthy step."""
    skip: bool = False
    """Drop the gradient."""
    roll_back_to: int | None = None
    """Restore the checkpoint of this step in place of the update."""
    gives_up: bool = False
    """A rollback was due after the last one that is allowed: end the run."""

    def __str__(self) -> str:
        return "; ".join(self.reasons)


def judge(health: Health, signals: Signals, settings: WatchdogSettings) -> tuple[Health, Verdict]:
    """(state after the step, verdict on the step)."""
    if settings.action == "off":
        return health, Verdict()
    off_policy = off_policy_reasons(signals, settings)
    skip = bool(off_policy) and settings.action in ("skip", "rollback")
    if signals.oldest_version < health.restored:
        # Sampled from weights that a rollback has undone: it says nothing about those that were restored.
        return health, Verdict(tuple(off_policy), skip)
    level = Level(signals.step, signals.reward, signals.no_answer, signals.cut)
    levels = (*health.levels, level)[-MEMORY:]
    reasons = (*off_policy, *level_reasons(levels, settings))
    unhealthy = (*health.unhealthy, bool(reasons))[-settings.window :]
    health = _prove(replace(health, unhealthy=unhealthy, levels=levels), settings)
    due = settings.action == "rollback" and sum(unhealthy) >= settings.unhealthy_steps
    if not due or health.confirmed is None:
        return health, Verdict(reasons, skip)
    if health.rollbacks >= settings.max_rollbacks:
        return health, Verdict(reasons, skip=True, gives_up=True)
    return _rolled_back(health, signals.step), Verdict(reasons, skip=True, roll_back_to=health.confirmed)


def saved(health: Health, step: int) -> Health:
    """The state after a checkpoint of `step` was saved."""
    if not health.is_good:
        return health
    if health.confirmed is None:
        return replace(health, confirmed=step)
    return health if health.pending is not None else replace(health, pending=step, pending_steps=0)


def off_policy_reasons(signals: Signals, settings: WatchdogSettings) -> list[str]:
    """Why the batch is too far from the policy; comparisons with a value that is not a number fail."""
    reasons = []
    if signals.ess is not None and not signals.ess >= settings.min_ess:
        reasons.append(f"effective sample size {signals.ess:.2f} below {settings.min_ess:g}")
    if settings.max_drift is not None and signals.drift is not None and not signals.drift <= settings.max_drift:
        reasons.append(f"log-probabilities {signals.drift:.2f} nats off the sampled ones, above {settings.max_drift:g}")
    return reasons


def level_reasons(levels: Sequence[Level], settings: WatchdogSettings) -> list[str]:
    """How the newest window of steps is worse than the best one; none before a whole window."""
    if len(levels) < settings.window:
        return []
    reasons = []
    now, best = _now_and_best(levels, lambda level: level.reward, max, settings.window)
    if now < (1 - settings.reward_fall) * best:
        reasons.append(f"reward {now:.2f}, {settings.reward_fall:.0%} below its best level {best:.2f}")
    now, best = _now_and_best(levels, lambda level: level.no_answer, min, settings.window)
    if now > best + settings.no_answer_rise:
        reasons.append(f"{now:.0%} of the rollouts without an answer, {best:.0%} at the best")
    now, best = _now_and_best(levels, lambda level: level.cut, min, settings.window)
    if now > best + settings.cut_rise:
        reasons.append(f"{now:.0%} of the rollouts cut by the token budget, {best:.0%} at the best")
    return reasons


def _now_and_best(
    levels: Sequence[Level], value: Callable[[Level], float], best: Callable[[Sequence[float]], float], window: int
) -> tuple[float, float]:
    """(mean of the newest window, best mean of any window)."""
    values = [value(level) for level in levels]
    means = [sum(values[end - window : end]) / window for end in range(window, len(values) + 1)]
    return means[-1], best(means)


def _prove(health: Health, settings: WatchdogSettings) -> Health:
    """Confirms or rejects the pending checkpoint by the newest step."""
    if health.pending is None:
        return health
    if health.unhealthy[-1]:
        return replace(health, pending=None, pending_steps=0)
    if health.pending_steps + 1 < settings.window:
        return replace(health, pending_steps=health.pending_steps + 1)
    return replace(health, confirmed=health.pending, pending=None, pending_steps=0)


def _rolled_back(health: Health, step: int) -> Health:
    """The state after a rollback in `step`: that of the restored weights, as far as it is known."""
    assert health.confirmed is not None
    return Health(
        levels=tuple(level for level in health.levels if level.step <= health.confirmed),
        confirmed=health.confirmed,
        rollbacks=health.rollbacks + 1,
        restored=step,
    )


class Watchdog:
    """The state of a run's watchdog. Every rank has one, and all of them decide alike."""

    def __init__(self, settings: WatchdogSettings, stored: dict[str, Any] | None = None) -> None:
        """`stored`: the plain state in the checkpoint at which the learner resumes; None in a new run."""
        self._settings = settings
        self.health = Health() if stored is None else Health.from_plain(stored)

    @property
    def rate(self) -> float:
        """Factor of the learning rate."""
        return float(self._settings.rollback_rate**self.health.rollbacks)

    @property
    def checkpoints(self) -> frozenset[int]:
        """Steps of the checkpoints that a rollback may restore, now or once one is confirmed."""
        if self._settings.action != "rollback":
            return frozenset()
        return frozenset(step for step in (self.health.confirmed, self.health.pending) if step is not None)

    def judge(self, signals: Signals) -> Verdict:
        """The verdict on a step whose gradient was not applied yet."""
        self.health, verdict = judge(self.health, signals, self._settings)
        return verdict

    def saved(self, step: int) -> None:
        """A checkpoint of this step was saved."""
        self.health = saved(self.health, step)
