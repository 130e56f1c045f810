"""The types that the reducers pass to the page and the terminal.

Times are seconds by the server's clock, rates are per second, lags are optimizer steps.
"""

from typing import Literal

import msgspec

from deploy.dashboard.dropped_groups import DropRow
from deploy.dashboard.problem_history import Cell
from deploy.dashboard.recent_rollouts import Headline
from deploy.store.alerts import Alert
from deploy.store.run_view import RoleStatus
from deploy.store.watchdogs import Watchdog


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Base: immutable, keyword-only."""


class Arrow(View, frozen=True):
    """One arrow of the pipeline."""

    name: str
    total: int
    """Groups, or policy versions, that passed so far."""
    per_s: float | None
    idle_s: float | None
    """Seconds since the last one passed; None before the first."""


class Queue(View, frozen=True):
    """One place where groups wait."""

    name: str
    depth: int
    age: str
    """Age of its oldest group with its unit; empty when it is not known."""


class RingSlot(View, frozen=True):
    """One group in the ring."""

    group_id: int
    arrival: int
    samples: int
    arm: str
    problem: str
    lag: int
    """Of its oldest token, if the next step trains it."""


class Event(View, frozen=True):
    """A note of the driver."""

    at_s: float
    text: str


class Table(View, frozen=True):
    """Rows by columns; the first column names the row."""

    columns: list[str]
    rows: list[list[float | None]]


class Heat(View, frozen=True):
    """Groups for the heat map: problems and groups that are new, and all arms."""

    arms: list[str]
    ids: list[str]
    buckets: list[str]
    cells: list[Cell]


class GroupBalance(View, frozen=True):
    """issued = trained + filtered + replaced + stale + failed + in flight, in groups."""

    issued: int
    limit: int | None
    trained: int
    filtered: dict[str, int]
    replaced: int
    stale: int
    failed: dict[str, int]
    in_flight: dict[str, int]
    holds: bool
    trained_samples: int
    totals: dict[str, int]
    drops: list[DropRow]


class Live(View, frozen=True, rename={"balance": "books"}):
    """One moment of a run."""

    run: str
    state: Literal["waiting", "live", "ended", "away"]
    """waiting: no group has been issued yet. away: Redis does not answer; the other fields are the last known state."""
    ended: str | None
    """Why the run ended."""
    now_s: float
    step: int
    max_steps: int
    num_hard: int
    batch_samples: int
    share_done: float
    """Of the step budget or of the rollout budget, whichever is further used."""
    eta_s: float | None
    tokens_per_s: float | None
    """Rollout tokens, all engines together."""
    bottleneck: str | None
    """What holds the run up now and what helps; None when nothing stands out, or when it has ended."""
    times: dict[str, dict[str, float]]
    """Kind of role -> phase -> share of its time in the newest minute."""
    times_described: dict[str, str]
    """The same as one line for each kind."""
    memory_mib: dict[str, float]
    """Role -> resident memory of its processes by its newest report."""
    headline: dict[str, float | None]
    """Newest value of each column of the step table."""
    recent: dict[str, float]
    """Arm -> share of correct rollouts in its newest groups."""
    lags: list[tuple[int, int]]
    """(lag in steps, tokens) of the newest step."""
    transfer: dict[str, int] | None
    arrows: list[Arrow]
    queues: list[Queue]
    ring_capacity: int
    ring: list[RingSlot]
    roles: list[RoleStatus]
    watchdogs: list[Watchdog]
    alerts: list[Alert]
    events: list[Event]
    rollouts: list[Headline]
    balance: GroupBalance


class Change(View, frozen=True):
    """A message to a viewer: first everything (`whole`), then the changes."""

    whole: bool
    live: Live
    steps: Table
    heat: Heat


class RunCard(View, frozen=True):
    """One run among several."""

    live: Live
    steps: Table
    """Thinned to a few hundred rows."""
