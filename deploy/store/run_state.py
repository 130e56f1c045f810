"""The driver's state of its run: the newest numbers for the screen and the supervisor, sums for the summary."""

import math
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence

from actors.problems.mixture import ARM_BUCKET
from broker.balance import Balance
from broker.connection import Client
from broker.feed import Feed
from broker.keys import Keys
from broker.ledger import LedgerRow
from broker.metrics import Control, HealthBoard, Metrics
from broker.records import Problem
from broker.reports import ActorOutput, DriverNote, GroupEnd, LearnerStep, RoleTimes
from conf.schema import RunConfig
from deploy.statistics.role_times import bottleneck, newest, times_by_kind
from deploy.statistics.transfer import Transfer, transfer
from deploy.store.metric_files import ROOMS, MetricFile, path_of, read_reports
from deploy.store.run_folder import RunFolder
from deploy.store.run_view import LiveView, Reports, share_done

RECENT_GROUPS = 32
"""Number of newest groups of an arm over which its success rate is a mean."""
RATE_WINDOW_S = 15.0
"""Time over which rates are means, seconds."""


class RunState:
    """State of one run, updated by `refresh`. Keeps sums of the reports and the newest ones; the folder has all."""

    balance: Balance

    def __init__(
        self, config: RunConfig, client: Client, problems: Sequence[Problem], folder: RunFolder | None = None
    ) -> None:
        """`folder`: where the reports are written; None in a sampling stage, which publishes no reports of the run."""
        keys = Keys(config.run.name)
        self.config = config
        self.feed = Feed(client, keys)
        self.control = Control(client, keys)
        self.metrics = Metrics(client, keys, keep=config.broker.kept_reports)
        self.health = HealthBoard(client, keys)
        self._view = LiveView(client, keys, folder)
        self._rates: list[tuple[float, int]] = []
        self.hard = {problem.id for problem in problems if problem.bucket == "hard"}
        self.newest: LearnerStep | None = None
        """The learner's newest report."""
        self.fresh = Reports()
        """The reports since the previous refresh."""
        self._recent: dict[str, deque[tuple[float, float]]] = {}
        """Arm -> (success rate, weight) of its newest groups."""
        self._times: list[RoleTimes] = []
        """The reports of the roles' times of the newest `WINDOW_S`."""
        self.verdicts: Counter[str] = Counter()
        """Verdict -> training rollouts written so far."""
        self.multi_version_rollouts = 0
        self.solved: dict[str, list[tuple[int, float]]] = {}
        """Arm -> (step, share of the hard problems solved at least once by then)."""
        self.rows: list[LedgerRow] = []
        self.silence: dict[str, float] = {}
        self.learner_status = ""
        """Status of the first rank's newest heartbeat."""
        self.restarts = 0
        self.notes: list[str] = []
        """Notes of the driver, for the summary."""
        self.started = time.monotonic()
        self._files: list[MetricFile] = []
        if folder is not None:
            past = folder.metrics  # of a resumed run
            self._absorb(
                read_reports(past, LearnerStep), read_reports(past, GroupEnd), read_reports(past, ActorOutput)
            )
            self._files = [MetricFile(path_of(folder.metrics, room), self.metrics) for room in ROOMS]
        self.refresh()

    def note(self, text: str, *, alert: str | None = None, raised: bool | None = None) -> None:
        """Adds a note to the summary and reports it to viewers; `alert` and `raised` as in `DriverNote`."""
        self.notes.append(text)
        self.metrics.report(DriverNote(note=text, alert=alert, raised=raised))

    def refresh(self) -> None:
        """Reads the counters, the ledger, the heartbeats and the new reports."""
        self.balance = self._view.balance()
        self.rows = self._view.ledger_rows(outcomes=False)
        self.silence = self._view.silence()
        self.learner_status = self._view.status("learner-0")
        self.fresh = Reports.of({file.room: file.follow() for file in self._files})
        self._absorb(self.fresh.learner, self.fresh.groups, self.fresh.outputs)
        self._times = newest([*self._times, *self.fresh.times])
        self._update_solved()
        self._rates.append((time.monotonic(), self.balance.totals["completion_tokens"]))
        while len(self._rates) > 2 and self._rates[-1][0] - self._rates[0][0] > RATE_WINDOW_S:
            self._rates.pop(0)

    @property
    def step(self) -> int:
        return self.balance.committed

    @property
    def tokens_per_s(self) -> float:
        """Completion tokens written a second, over `RATE_WINDOW_S`."""
        (t0, n0), (t1, n1) = self._rates[0], self._rates[-1]
        return (n1 - n0) / (t1 - t0) if t1 > t0 else 0.0

    @property
    def share_done(self) -> float:
        """Used share of the step budget or of the rollout budget, whichever is larger."""
        return share_done(self.config, self.balance)

    @property
    def eta_s(self) -> float:
        """Seconds left at the mean pace so far; infinite before there is one."""
        elapsed = time.monotonic() - self.started
        return elapsed * (1 - self.share_done) / self.share_done if self.share_done > 0.01 else math.inf

    @property
    def bottleneck(self) -> str | None:
        """What holds the run up now and what helps, in one line; None when nothing stands out."""
        return bottleneck(times_by_kind(self._times))

    def recent_success(self, arm: str) -> float | None:
        """Share of correct rollouts in the newest groups of an arm, 0 to 1; None before the first.

        Every problem of the arm counts alike, also when some are sampled more often (`GroupEnd.weight`).
        """
        recent = self._recent.get(arm, ())
        total = sum(weight for _, weight in recent)
        return sum(rate * weight for rate, weight in recent) / total if recent else None

    def solved_share(self, arm: str) -> float:
        """Share of the hard problems that were solved at least once in training under this arm, 0 to 1."""
        solved = {row.problem_id for row in self.rows if row.arm == arm and row.successes}
        return len(solved & self.hard) / len(self.hard) if self.hard else 0.0

    def transfer(self) -> Transfer | None:
        """Transfer so far; None before the first guided group."""
        return transfer(self._view.ledger_rows())

    def _absorb(
        self, learner: Iterable[LearnerStep], groups: Iterable[GroupEnd], outputs: Iterable[ActorOutput]
    ) -> None:
        for step in learner:
            self.newest = step
        for group in groups:
            if group.judged:
                recent = self._recent.setdefault(group.arm, deque(maxlen=RECENT_GROUPS))
                recent.append((group.successes / group.judged, group.weight))
        for output in outputs:
            self.verdicts.update(output.verdicts)
            self.multi_version_rollouts += output.multi_version_rollouts

    def _update_solved(self) -> None:
        """Computes `solved` from the first-solve steps of the ledger."""
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
