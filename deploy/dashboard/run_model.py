"""All that was read of one run, reduced: news go in, what to show comes out. Pure."""

from collections import deque
from dataclasses import asdict

from broker.weights import lag
from conf.schema import RunConfig
from deploy.cluster.health import LATE_BEATS
from deploy.dashboard import alerts, views
from deploy.dashboard.dropped_groups import Drops
from deploy.dashboard.problem_history import Problems
from deploy.dashboard.rates import Rates
from deploy.dashboard.reading import Entry, News
from deploy.dashboard.recent_rollouts import Rollouts
from deploy.dashboard.steps import Steps, entry_s, lag_histogram

NEWEST_REPORTS = 512
"""Reports of a room that rules and means look back on."""
RECENT_GROUPS = 32
"""Success by arm is a mean over so many newest groups of the arm."""
SHOWN_EVENTS, SHOWN_ROLLOUTS = 20, 6


class RunModel:
    """One run. `absorb` what was read, then ask."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.steps = Steps()
        self.problems = Problems()
        self.rollouts = Rollouts()
        self._drops = Drops()
        self._rates = Rates()
        self._news: News | None = None
        self._learner: deque[Entry] = deque(maxlen=NEWEST_REPORTS)
        self._groups: deque[Entry] = deque(maxlen=NEWEST_REPORTS)
        self._events: deque[views.Event] = deque(maxlen=SHOWN_EVENTS)
        self._standing: dict[str, str] = {}
        self._canary: dict[str, int] = {}
        self._begun_s: float | None = None
        self._problems_sent = self._cells_sent = 0
        self.over = False
        """The run's processes are gone; set by whoever knows."""

    @property
    def issued(self) -> int:
        """Groups issued when last looked; it never falls while the keys are the same run's."""
        return self._news.balance.issued if self._news else 0

    def absorb(self, news: News) -> None:
        """Take one look in."""
        rooms = news.rooms
        self._news = news
        self.steps.add_learner(rooms["learner"])
        self.steps.add_groups(rooms["groups"])
        self.steps.add_actors(rooms["actors"])
        self.steps.add_preprocess(rooms["preprocess"])
        self.problems.add(rooms["groups"])
        self.rollouts.add(news.samples, news.ratios)
        self._drops.add(rooms["groups"], news.replaced)
        self._learner.extend(rooms["learner"])
        self._groups.extend(rooms["groups"])
        for note in rooms["deploy"]:
            self._events.append(views.Event(at_s=entry_s(note), text=note["note"]))
            if "alert" in note:
                self._standing.pop(note["alert"], None)
                if note["raised"] == "1":
                    self._standing[note["alert"]] = note["note"]
        for report in rooms["actors"]:
            if "sync/canary_mismatches" in report:
                self._canary[report["actor"]] = int(report["sync/canary_mismatches"])
        if self._begun_s is None and (first := [*rooms["actors"], *rooms["preprocess"]]):
            self._begun_s = min(map(entry_s, first))
        self._rates.add(news.now_s, self._totals(news))

    def whole(self, away: str | None = None) -> views.Change:
        """Everything, for one who sees it for the first time."""
        return views.Change(
            whole=True, live=self.live(away), steps=self._table(sorted(self.steps.rows)), heat=self._heat(0, 0)
        )

    def change(self, away: str | None = None) -> views.Change:
        """What is new since the last call, for those who have all that was before."""
        heat = self._heat(self._problems_sent, self._cells_sent)
        self._problems_sent, self._cells_sent = len(self.problems.ids), len(self.problems.cells)
        return views.Change(whole=False, live=self.live(away), steps=self._table(self.steps.changed()), heat=heat)

    def card(self, rows: int, away: str | None = None) -> views.RunCard:
        """The run among others, its steps thinned to about `rows`."""
        steps = sorted(self.steps.rows)
        kept = steps[:: max(1, -(-len(steps) // rows))]
        return views.RunCard(live=self.live(away), steps=self._table(sorted({*kept, *steps[-1:]})))

    def live(self, away: str | None = None) -> views.Live:
        """This moment; `away` says why Redis does not answer."""
        news, config = self._seen(), self.config
        balance = news.balance
        learner = self._learner[-1] if self._learner else {}
        going = news.stopped is None and balance.issued > 0 and not self.over
        roles = self._roles(news, going and away is None)
        transfer = self.problems.transfer()
        share = self._share_done(news)
        return views.Live(
            run=config.run.name,
            state="away" if away else "live" if going else "ended" if news.stopped or self.over else "waiting",
            ended=news.stopped or ("cut off" if self.over else None),
            now_s=news.now_s,
            step=balance.committed,
            max_steps=config.run.max_steps,
            num_hard=int(news.run.get("num_hard", 0)) or self.problems.num_hard(),
            batch_samples=config.learner.batch_samples,
            share_done=share,
            eta_s=(news.now_s - self._begun_s) * (1 - share) / share if going and self._begun_s and share else None,
            tokens_per_s=self._rates.per_s("tokens") if going else None,
            headline=self._headline(),
            recent=self._recent(),
            lags=lag_histogram(learner),
            transfer=None if transfer is None else transfer.counts(),
            arrows=[self._arrow(name, going) for name in ARROWS],
            queues=self._queues(news),
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
                for group in news.ring
            ],
            roles=roles,
            alerts=alerts.alerts(self._moment(news, roles, going, away)),
            events=list(reversed(self._events)),
            rollouts=self.rollouts.headlines(SHOWN_ROLLOUTS),
            books=self._books(news),
        )

    def _seen(self) -> News:
        assert self._news is not None, "absorb first"
        return self._news

    def _moment(self, news: News, roles: list[views.Role], going: bool, away: str | None) -> alerts.Moment:
        return alerts.Moment(
            config=self.config,
            going=going and away is None,
            balance=news.balance,
            groups=tuple(self._groups),
            learner=tuple(self._learner),
            roles=roles,
            standing=self._standing,
            canary=self._canary,
            since_step_s=news.now_s - entry_s(self._learner[-1]) if self._learner else None,
            redis_away=away,
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
            mine = [g for g in self._groups if g["arm"] == arm and int(g["judged"])][-RECENT_GROUPS:]
            if mine:
                shares[arm] = sum(int(g["successes"]) for g in mine) / sum(int(g["judged"]) for g in mine)
        return shares

    def _share_done(self, news: News) -> float:
        balance = news.balance
        groups = balance.issued / balance.limit if balance.limit else 0.0
        return min(1.0, max(balance.committed / self.config.run.max_steps, groups))

    def _totals(self, news: News) -> dict[str, int]:
        balance = news.balance
        waiting = balance.in_flight["ring"] + balance.in_flight["taken"]
        return {
            "claim": balance.issued,
            "publish": balance.totals["published"],
            "filter": sum(balance.filtered.values()),
            "put": balance.trained + balance.replaced + balance.stale + waiting,
            "replace": balance.replaced + balance.stale,
            "train": balance.trained,
            "weights": news.version,
            "tokens": balance.totals["completion_tokens"],
        }

    def _arrow(self, name: str, going: bool) -> views.Arrow:
        rates, total = self._rates, self._totals(self._seen())[name]
        return views.Arrow(
            name=name, total=total, per_s=rates.per_s(name) if going else None, idle_s=rates.idle_s(name)
        )

    def _queues(self, news: News) -> list[views.Queue]:
        depths = news.balance.in_flight | {"ring": news.balance.ring_samples}
        oldest_lag = max((self._lag(group.oldest_version) for group in news.ring), default=None)
        ages = {
            "stream": "" if news.oldest_s is None else f"{news.oldest_s:.1f} s",
            "ring": "" if oldest_lag is None else f"{oldest_lag} step{'' if oldest_lag == 1 else 's'}",
        }
        return [views.Queue(name=name, depth=depth, age=ages.get(name, "")) for name, depth in depths.items()]

    def _lag(self, version: int) -> int:
        return lag(self._seen().balance.committed, version)

    def _roles(self, news: News, going: bool) -> list[views.Role]:
        retry_s = LATE_BEATS * self.config.deploy.heartbeat_s
        return [
            views.Role(
                name=name,
                status=status,
                silence_s=max(0.0, news.now_s - moment),
                late=going and news.now_s - moment > retry_s,
                health=news.health.get(name, ""),
                version=news.held.get(name),
            )
            for name, (moment, status) in sorted(news.beats.items())
        ]

    def _books(self, news: News) -> views.Books:
        balance = news.balance
        known = {name: value for name, value in asdict(balance).items() if name in views.Books.__struct_fields__}
        return views.Books(**known, holds=balance.holds, drops=self._drops.rows())


ARROWS = ("claim", "publish", "filter", "put", "replace", "train", "weights")
"""Counters of the drawing; `tokens` is shown as a number of its own."""
