"""What the page and the terminal are sent: the vocabulary between the reducers and whoever shows them.

Times are seconds by the server's clock, rates are a second, ages of weights are optimizer steps.
"""

from typing import Literal

import msgspec

from deploy.dashboard.dropped_groups import DropRow
from deploy.dashboard.problem_history import Cell
from deploy.dashboard.recent_rollouts import Headline


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Base: immutable, keyword-only."""


class Arrow(View, frozen=True):
    """One arrow of the pipeline."""

    name: str
    total: int
    """What went along it so far: groups, or policy versions."""
    per_s: float | None
    idle_s: float | None
    """Seconds since something last went along it; None when nothing was seen to."""


class Queue(View, frozen=True):
    """One place where groups wait."""

    name: str
    depth: int
    age: str
    """How old its oldest is, in words; empty when that is not known."""


class RingSlot(View, frozen=True):
    """One group in the ring."""

    group_id: int
    arrival: int
    samples: int
    arm: str
    problem: str
    lag: int
    """Of its oldest token, should the next step train it."""


class Role(View, frozen=True):
    """One process of the run."""

    name: str
    status: str
    silence_s: float
    late: bool
    """Silent for longer than a few heartbeats while the run goes on."""
    health: str = ""
    """What the driver holds of it (`deploy/cluster/health.py`); empty before it said so."""
    version: int | None = None
    """Policy version its engine holds."""


class Alert(View, frozen=True):
    """Something a person should look at, and what to do about it."""

    level: Literal["warning", "critical"]
    title: str
    detail: str
    remedy: str


class Event(View, frozen=True):
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


class Books(View, frozen=True):
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


class Live(View, frozen=True):
    """One moment of a run."""

    run: str
    state: Literal["waiting", "live", "ended", "away"]
    """waiting: no group has been issued yet. away: its Redis does not answer; this is what was read last."""
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
    headline: dict[str, float | None]
    """Newest value of each column of the step table."""
    recent: dict[str, float]
    """Arm -> share of correct rollouts in its newest groups."""
    lags: list[tuple[int, int]]
    """(age, tokens) of the newest step."""
    transfer: dict[str, int] | None
    arrows: list[Arrow]
    queues: list[Queue]
    ring_capacity: int
    ring: list[RingSlot]
    roles: list[Role]
    alerts: list[Alert]
    events: list[Event]
    rollouts: list[Headline]
    books: Books


class Change(View, frozen=True):
    """What a viewer is sent: all there is at first (`whole`), then what changed."""

    whole: bool
    live: Live
    steps: Table
    heat: Heat


class RunCard(View, frozen=True):
    """One run among several."""

    live: Live
    steps: Table
    """Thinned to a few hundred rows."""
