"""Reduces the snapshots of one run to the views that the page and the terminal show. Pure."""

from collections import deque
from dataclasses import asdict

from broker.reports import GroupEnd, LearnerStep, RoleTimes, success_rate
from broker.weights import lag
from conf.schema import RunConfig
from deploy.dashboard import views
from deploy.dashboard.dropped_groups import DroppedGroups
from deploy.dashboard.metric_series import MetricSeries
from deploy.dashboard.problem_history import ProblemHistory
from deploy.dashboard.rates import Rates
from deploy.dashboard.recent_rollouts import RecentRollouts
from deploy.dashboard.steps import Steps
from deploy.statistics.role_times import bottleneck, newest, times_by_kind
from deploy.store.alerts import Moment, alerts, update_driver_alerts
from deploy.store.run_view import RoleStatus, Snapshot, share_done
from deploy.store.watchdogs import watchdogs

NEWEST_REPORTS = 512
"""Newest reports of each kind that alerts and means are computed from."""
RECENT_GROUPS = 32
"""Success by arm is a mean over this many newest groups of the arm."""
SHOWN_EVENTS, SHOWN_ROLLOUTS = 20, 6


class RunModel:
    """One run: `add` its snapshots, then read the views."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.steps = Steps()
        self.metrics = MetricSeries(self.steps, config.evaluation.k)
        self.problems = ProblemHistory()
        self.rollouts = RecentRollouts()
        self._dropped = DroppedGroups()
        self._rates = Rates()
        self._snapshot: Snapshot | None = None
        self._learner: list[LearnerStep] = []
        self._groups: deque[GroupEnd] = deque(maxlen=NEWEST_REPORTS)
        self._events: deque[views.Event] = deque(maxlen=SHOWN_EVENTS)
        self._times: list[RoleTimes] = []
        self._memory_mib: dict[str, float] = {}
        self._driver_alerts: dict[str, str] = {}
        self._canary: dict[str, int] = {}
        self._started_s: float | None = None
        self._problems_sent = self._cells_sent = 0
        self.over = False
        """Whether the run's processes are gone; set by the source."""

    @property
    def issued(self) -> int:
        """Groups issued at the newest snapshot; never falls while the keys belong to the same run."""
        return self._snapshot.balance.issued if self._snapshot else 0

    def add(self, snapshot: Snapshot) -> None:
        """Add a snapshot, which holds what is new since the one before."""
        reports = snapshot.reports
        self._snapshot = snapshot
        self.steps.add_learner(reports.learner)
        self.steps.add_groups(reports.groups)
        self.steps.add_syncs(reports.syncs)
        self.steps.add_outputs(reports.outputs)
        self.steps.add_preprocess(reports.preprocess)
        self.metrics.add(reports, snapshot.evaluations, over=self.over or snapshot.stopped is not None)
        self.problems.add(reports.groups)
        self.rollouts.add(snapshot.samples, snapshot.ratios)
        self._dropped.add(reports.groups, snapshot.replaced)
        self._learner = [*self._learner, *reports.learner][-NEWEST_REPORTS:]
        self._groups.extend(reports.groups)
        self._events.extend(views.Event(at_s=note.unix_s, text=note.note) for note in reports.notes)
        self._times = newest([*self._times, *reports.times])
        self._memory_mib.update({times.role: times.memory_mib for times in reports.times})
        update_driver_alerts(self._driver_alerts, reports.notes)
        self._canary.update({sync.actor: sync.canary_mismatches for sync in reports.syncs})
        if self._started_s is None:
            first = (report.unix_s for report in (*reports.outputs, *reports.syncs, *reports.preprocess))
            self._started_s = min(first, default=None)
        self._rates.add(snapshot.now_s, self._totals(snapshot))

    @property
    def stopped(self) -> bool:
        """Whether the run was seen to stop."""
        return self._snapshot is not None and self._snapshot.stopped is not None

    def whole(self, away: str | None = None) -> views.Change:
        """Everything, for a new viewer."""
        return views.Change(
            whole=True, live=self.live(away), steps=self._table(sorted(self.steps.rows)), heat=self._heat(0, 0)
        )

    def change(self, away: str | None = None) -> views.Change:
        """What is new since the last call."""
        heat = self._heat(self._problems_sent, self._cells_sent)
        self._problems_sent, self._cells_sent = len(self.problems.ids), len(self.problems.cells)
        return views.Change(whole=False, live=self.live(away), steps=self._table(self.steps.changed()), heat=heat)

    def card(self, rows: int, away: str | None = None) -> views.RunCard:
        """The run in the comparison of runs, with about `rows` of its steps."""
        steps = sorted(self.steps.rows)
        kept = steps[:: max(1, -(-len(steps) // rows))]
        return views.RunCard(live=self.live(away), steps=self._table(sorted({*kept, *steps[-1:]})))

    def live(self, away: str | None = None) -> views.Live:
        """The newest snapshot; `away`: why Redis does not answer, or None."""
        snapshot, config = self._newest(), self.config
        balance = snapshot.balance
        going = snapshot.stopped is None and balance.issued > 0 and not self.over
        roles = snapshot.roles(heartbeat_s=config.deploy.heartbeat_s, active=going and away is None)
        transfer = self.problems.transfer()
        share, started_s = share_done(config, balance), self._started_s
        times = times_by_kind(self._times)
        return views.Live(
            run=config.run.name,
            state="away" if away else "live" if going else "ended" if snapshot.stopped or self.over else "waiting",
            ended=snapshot.stopped or ("cut off" if self.over else None),
            now_s=snapshot.now_s,
            step=balance.committed,
            max_steps=config.run.max_steps,
            num_hard=int(snapshot.run.get("num_hard", 0)) or self.problems.num_hard(),
            batch_samples=config.learner.batch_samples,
            share_done=share,
            eta_s=(snapshot.now_s - started_s) * (1 - share) / share if going and started_s and share else None,
            tokens_per_s=self._rates.per_s("tokens") if going else None,
            bottleneck=bottleneck(times) if going else None,
            times={kind: dict(found.shares) for kind, found in times.items()},
            times_described={kind: found.described(kind) for kind, found in times.items()},
            memory_mib=self._memory_mib,
            headline=self._headline(),
            recent=self._recent(),
            lags=list(self._learner[-1].lag_histogram.items()) if self._learner else [],
            transfer=None if transfer is None else transfer.counts(),
            arrows=[self._arrow(name, going) for name in ARROWS],
            queues=self._queues(snapshot),
            ring_capacity=config.broker.ring.capacity,
            ring=[
                views.RingSlot(
                    group_id=group.group_id,
                    arrival=group.arrival,
                    samples=group.samples,
                    arm=group.arm,
                    problem=group.problem_id,
                    lag=self._lag(group.oldest_version),
                )
                for group in snapshot.ring
            ],
            roles=roles,
            watchdogs=watchdogs(config, self._learner, self._driver_alerts, *self.problems.tested()),
            alerts=alerts(self._moment(snapshot, roles, going, away)),
            events=list(reversed(self._events)),
            rollouts=self.rollouts.headlines(SHOWN_ROLLOUTS),
            balance=self._balance(snapshot),
        )

    def _newest(self) -> Snapshot:
        assert self._snapshot is not None, "no snapshot was added"
        return self._snapshot

    def _moment(self, snapshot: Snapshot, roles: list[RoleStatus], going: bool, away: str | None) -> Moment:
        return Moment(
            config=self.config,
            active=going and away is None,
            balance=snapshot.balance,
            groups=tuple(self._groups),
            learner=tuple(self._learner),
            roles=roles,
            driver_alerts=self._driver_alerts,
            canary=self._canary,
            since_step_s=snapshot.now_s - self._learner[-1].unix_s if self._learner else None,
            redis_error=away,
        )

    def _table(self, steps: list[int]) -> views.Table:
        rows = [self.steps.rows[step] for step in steps]
        columns = sorted({column for row in rows for column in row})
        return views.Table(
            columns=["step", *columns],
            rows=[[step, *(row.get(column) for column in columns)] for step, row in zip(steps, rows, strict=True)],
        )

    def _heat(self, problems: int, cells: int) -> views.Heat:
        known = self.problems
        return views.Heat(
            arms=known.arms, ids=known.ids[problems:], buckets=known.buckets[problems:], cells=known.cells[cells:]
        )

    def _headline(self) -> dict[str, float | None]:
        newest: dict[str, float | None] = {}
        for step in sorted(self.steps.rows)[-8:]:
            newest.update(self.steps.rows[step])
        return newest

    def _recent(self) -> dict[str, float]:
        shares = {}
        for arm in self.problems.arms:
            mine = [group for group in self._groups if group.arm == arm and group.judged][-RECENT_GROUPS:]
            if mine:
                shares[arm] = success_rate(mine)
        return shares

    def _totals(self, snapshot: Snapshot) -> dict[str, int]:
        balance = snapshot.balance
        waiting = balance.in_flight["ring"] + balance.in_flight["taken"]
        return {
            "claim": balance.issued,
            "publish": balance.totals["published"],
            "filter": sum(balance.filtered.values()),
            "put": balance.trained + balance.replaced + balance.stale + waiting,
            "replace": balance.replaced + balance.stale,
            "train": balance.trained,
            "weights": snapshot.version,
            "tokens": balance.totals["completion_tokens"],
        }

    def _arrow(self, name: str, going: bool) -> views.Arrow:
        rates, total = self._rates, self._totals(self._newest())[name]
        return views.Arrow(
            name=name, total=total, per_s=rates.per_s(name) if going else None, idle_s=rates.idle_s(name)
        )

    def _queues(self, snapshot: Snapshot) -> list[views.Queue]:
        depths = snapshot.balance.in_flight | {"ring": snapshot.balance.ring_samples}
        oldest_lag = max((self._lag(group.oldest_version) for group in snapshot.ring), default=None)
        ages = {
            "stream": "" if snapshot.oldest_s is None else f"{snapshot.oldest_s:.1f} s",
            "ring": "" if oldest_lag is None else f"{oldest_lag} step{'' if oldest_lag == 1 else 's'}",
        }
        return [views.Queue(name=name, depth=depth, age=ages.get(name, "")) for name, depth in depths.items()]

    def _lag(self, version: int) -> int:
        return lag(self._newest().balance.committed, version)

    def _balance(self, snapshot: Snapshot) -> views.GroupBalance:
        balance = snapshot.balance
        fields = views.GroupBalance.__struct_fields__
        known = {name: value for name, value in asdict(balance).items() if name in fields}
        return views.GroupBalance(**known, holds=balance.holds, drops=self._dropped.rows())


ARROWS = ("claim", "publish", "filter", "put", "replace", "train", "weights")
"""Counters that are drawn as arrows of the pipeline; `tokens` is shown as a number."""
