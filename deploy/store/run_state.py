"""What a run looks like from outside: everything is read from Redis, so any process may look."""

import math
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from pathlib import Path

from actors.problems.mixture import ARM_BUCKET
from broker.balance import Balance, read_balance
from broker.connection import Client
from broker.feed import Feed
from broker.keys import Keys
from broker.ledger import Ledger, LedgerRow
from broker.metrics import Control, HealthBoard, Heartbeats, Metrics
from broker.records import Problem
from conf.schema import RunConfig
from deploy.statistics.transfer import Transfer, transfer
from deploy.store.metric_files import ROOMS, MetricFile, Report, path_of, read_reports

RECENT_GROUPS = 32
"""Success by arm is the mean over this many newest groups of the arm."""
RATE_WINDOW_S = 15.0
"""Rates are means over about this long."""


class RunState:
    """A picture of the run, renewed by `refresh`. Of the reports it keeps sums and the newest; the folder has all."""

    balance: Balance

    def __init__(
        self, config: RunConfig, client: Client, problems: Sequence[Problem], metrics_folder: Path | None = None
    ) -> None:
        """`metrics_folder`: where all reports go; a stage of a run has none, its actors report nothing of the run."""
        keys = Keys(config.run.name)
        self.config = config
        self.feed = Feed(client, keys)
        self.control = Control(client, keys)
        self.metrics = Metrics(client, keys, keep=config.broker.kept_reports)
        self._client, self._keys = client, keys
        self._ledger = Ledger(client, keys)
        self.health = HealthBoard(client, keys)
        self._heartbeats = Heartbeats(client, keys)
        self._rates: list[tuple[float, int]] = []
        self.hard = {problem.id for problem in problems if problem.bucket == "hard"}
        self.newest: Report = {}
        """Of the learner's reports, one a step."""
        self.news: dict[str, list[Report]] = {room: [] for room in ROOMS}
        """What the rooms reported since the last look."""
        self._recent: dict[str, deque[float]] = {}
        self.written: Counter[str] = Counter()
        """What the actors wrote so far: groups, tokens, verdict/..., multi_version_rollouts."""
        self.solved: dict[str, list[tuple[int, float]]] = {}
        """Arm -> (step, share of hard problems solved at least once by then)."""
        self.rows: list[LedgerRow] = []
        self.silence: dict[str, float] = {}
        self.learner_does = ""
        """What the first rank said last."""
        self.restarts = 0
        self.notes: list[str] = []
        """What happened to the roles, for the summary."""
        self.started = time.monotonic()
        self._files: list[MetricFile] = []
        if metrics_folder is not None:
            for room in ROOMS:  # a resumed run has a past
                self._absorb(room, read_reports(metrics_folder, room))
                self._files.append(MetricFile(path_of(metrics_folder, room), self.metrics))
        self.refresh()

    def note(self, text: str, **more: str | int) -> None:
        """For the summary, and with `more` for those who look on."""
        self.notes.append(text)
        self.metrics.report("deploy", {"note": text, **more})

    def refresh(self) -> None:
        """Read what is new."""
        self.balance = read_balance(self._client, self._keys)
        self.rows = self._ledger.rows(outcomes=False)
        self.silence = self._heartbeats.silence()
        self.learner_does = self._heartbeats.status("learner-0")
        for file in self._files:
            self.news[file.room] = fresh = file.follow()
            self._absorb(file.room, fresh)
        self._follow_solved()
        self._rates.append((time.monotonic(), self.balance.totals["completion_tokens"]))
        while len(self._rates) > 2 and self._rates[-1][0] - self._rates[0][0] > RATE_WINDOW_S:
            self._rates.pop(0)

    @property
    def step(self) -> int:
        return self.balance.committed

    @property
    def tokens_per_s(self) -> float:
        """Rollout tokens written a second, over the last moments."""
        (t0, n0), (t1, n1) = self._rates[0], self._rates[-1]
        return (n1 - n0) / (t1 - t0) if t1 > t0 else 0.0

    @property
    def share_done(self) -> float:
        """Of the step budget or of the rollout budget, whichever is further used."""
        steps = self.step / self.config.run.max_steps
        groups = self.balance.issued / self.balance.limit if self.balance.limit else 0.0
        return min(1.0, max(steps, groups))

    @property
    def eta_s(self) -> float:
        """Seconds left at the mean pace so far; infinite before there is one."""
        elapsed = time.monotonic() - self.started
        return elapsed * (1 - self.share_done) / self.share_done if self.share_done > 0.01 else math.inf

    def recent_success(self, arm: str) -> float | None:
        """Share of correct rollouts in the newest groups of an arm; None before the first."""
        recent = self._recent.get(arm)
        return sum(recent) / len(recent) if recent else None

    def solved_share(self, arm: str) -> float:
        """Share of the hard problems this arm has solved at least once while training."""
        solved = {row.problem_id for row in self.rows if row.arm == arm and row.successes}
        return len(solved & self.hard) / len(self.hard) if self.hard else 0.0

    def transfer(self) -> Transfer | None:
        """What guidance carried over to the unguided problems so far; None while no guided group has ended."""
        return transfer(self._ledger.rows())

    def _absorb(self, room: str, reports: Iterable[Report]) -> None:
        for report in reports:
            if room == "learner":
                self.newest = report
            elif room == "groups" and int(report["judged"]):
                recent = self._recent.setdefault(report["arm"], deque(maxlen=RECENT_GROUPS))
                recent.append(int(report["successes"]) / int(report["judged"]))
            elif room == "actors" and "sync/stall_ms" not in report:
                self.written.update(
                    {name: int(value) for name, value in report.items() if name not in ("id", "actor", "version")}
                )

    def _follow_solved(self) -> None:
        """First-solve steps of the ledger -> how many hard problems were solved by each step."""
        self.solved = {}
        for arm in sorted({row.arm for row in self.rows}):
            steps = sorted(
                row.first_solve_step
                for row in self.rows
                if row.arm == arm and row.problem_id in self.hard and row.first_solve_step is not None
            )
            if self.hard and ARM_BUCKET[arm] == "hard":
                points = [(0, 0.0), *((step, (i + 1) / len(self.hard)) for i, step in enumerate(steps))]
                self.solved[arm] = [*points, (self.step, points[-1][1])]
