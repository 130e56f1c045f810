"""Supervision: every role is alive, expired leases are issued again, and the run makes progress or ends with a reason.

consumes    the host's view of each role, heartbeats, the weight board, the balance
waits for   the stop flag: set by the learner at its last step, by the user's signal, or here when the rollout budget
            is used up and no further batch can form
unblocked by its own deadlines: a silent role is killed, a run without progress is stopped with an error

A role that died is restarted, the ranks of the learner all together: they resume at the newest intact checkpoint while
the engines keep generating, until the ring or the bound on the lag blocks them. `deploy.max_restarts` limits restarts;
a role whose error is `final` is not restarted, because it would fail in the same way.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import chain

from broker.balance import Balance
from broker.errors import PopeError
from broker.weights import WeightBoard
from conf.schema import DeploySettings
from deploy.cluster.fleet import Domain, ManagedRole, RoleFailed
from deploy.cluster.health import LATE_BEATS
from deploy.store.run_state import RunState

log = logging.getLogger(__name__)

TICK_S = 0.5
WIND_DOWN_S = 120.0
"""Longest time a role may take to finish once the run stops; enough for a checkpoint on a slow disk."""


class NoProgress(PopeError):
    """The run made no progress for `deploy.no_progress_s`."""


def overdue(role: ManagedRole, silence: Mapping[str, float], deploy: DeploySettings) -> str | None:
    """Why a role must be killed although its process lives, or None. `silence`: role -> seconds since its last
    heartbeat.

    A role that works sends its first heartbeat once it has imported its libraries, which takes minutes on a busy
    machine; until then `start_timeout_s` holds.
    """
    silent_s = seconds_silent(role, silence)
    if role.state == "starting" and role.seconds_in_state() > deploy.start_timeout_s:
        return f"{role.name} was not up after deploy.start_timeout_s={deploy.start_timeout_s:g} s"
    if role.state == "running" and silent_s is None and role.seconds_in_state() > deploy.start_timeout_s:
        return f"{role.name} sent no first heartbeat for deploy.start_timeout_s={deploy.start_timeout_s:g} s"
    if role.state == "running" and silent_s is not None and silent_s > deploy.dead_after_s:
        return f"{role.name} sent no heartbeat for deploy.dead_after_s={deploy.dead_after_s:g} s"
    return None


def seconds_silent(role: ManagedRole, silence: Mapping[str, float]) -> float | None:
    """Seconds since the last heartbeat of a running role; None before its first one."""
    silent_s = silence.get(role.name, float("inf"))
    return silent_s if silent_s < role.seconds_in_state() else None


class Supervisor:
    """Watches the roles of a run until all have finished."""

    def __init__(
        self,
        deploy: DeploySettings,
        domains: Sequence[Domain],
        state: RunState,
        board: WeightBoard,
        *,
        max_attempts: int,
        batch_samples: int,
        show: Callable[[RunState], None],
        require_host: Callable[[], None] = lambda: None,
    ) -> None:
        """`board`: where the engines record the version they hold; in a stage of a run, the board of the run.
        `max_attempts`: how often a group is issued. `batch_samples`: size of a batch. `show` gets every new state.
        `require_host` raises PopeError when the processes of the roles can no longer be watched."""
        self._deploy = deploy
        self._domains = domains
        self._state = state
        self._board = board
        self._max_attempts = max_attempts
        self._batch_samples = batch_samples
        self._show = show
        self._require_host = require_host
        self._required_version: dict[str, int] = {}
        """Stale engine -> policy version it must hold before it counts as healthy."""
        self._reported_health: dict[str, str] = {}
        self._progress: tuple[object, ...] = ()
        self._progress_at = time.monotonic()

    def run(self) -> str:
        """Supervise until every role has finished. Returns why the run ended. Raises RoleFailed or NoProgress."""
        while not (reason := self._state.control.stopped()):
            self.tick()
            self._stop_when_drained()
            time.sleep(TICK_S)
        self.wind_down()
        return reason

    def tick(self) -> None:
        """Check everything once: the host, leases, roles, progress."""
        self._require_host()
        self._state.feed.reclaim(max_attempts=self._max_attempts)
        for domain in self._domains:
            if died := self._failure(domain):
                self._replace(domain, died)
        self._refresh()
        self._require_progress(self._state.balance)

    def _failure(self, domain: Domain) -> str | None:
        """Why the domain must be restarted, or None."""
        late = (overdue(role, self._state.silence, self._deploy) for role in domain.roles)
        return domain.poll() or next(filter(None, late), None)

    def _refresh(self) -> None:
        self._state.refresh()
        self._follow_health()
        self._show(self._state)

    def _follow_health(self) -> None:
        """Update the health of every role, and report changes."""
        late_s = LATE_BEATS * self._deploy.heartbeat_s
        held = self._board.held()
        for role in chain.from_iterable(domain.roles for domain in self._domains):
            if role.state == "running":
                silent_s = seconds_silent(role, self._state.silence)
                role.observe("late" if silent_s is not None and silent_s > late_s else "beat")
            if role.health == "stale":
                required = self._required_version.setdefault(role.name, self._board.version())
                if held.get(role.name, -1) >= required:
                    role.observe("synced")
            else:
                self._required_version.pop(role.name, None)
            if self._reported_health.get(role.name) != role.health:
                self._reported_health[role.name] = role.health
                self._state.health.note(role.name, role.health)

    def _replace(self, domain: Domain, died: str) -> None:
        """Kill the domain, release its leases and restart it. Raises RoleFailed when it must not be restarted."""
        domain.kill()
        for role in domain.roles:
            self._state.feed.release(role.incarnation, max_attempts=self._max_attempts)
            if role.serves_weights:
                self._board.forget(role.name)
        if domain.final_failure is not None:
            self._state.note(str(domain.final_failure))
            raise domain.final_failure
        if domain.restarts >= self._deploy.max_restarts:
            used_up = f"deploy.max_restarts={self._deploy.max_restarts} is used up"
            raise RoleFailed(f"{died}; {used_up}; continue with run.resume=true")
        domain.restart()
        self._state.restarts += 1
        self._state.note(f"{died}; restart {domain.restarts}")
        log.warning("%s; restart %d", died, domain.restarts)

    def _stop_when_drained(self) -> None:
        """Stop when the rollout budget is used up and the ring holds too little for a batch."""
        balance = self._state.balance
        too_few = balance.ring_samples < self._batch_samples
        if balance.drained and balance.in_flight["taken"] == 0 and too_few:
            self._state.control.stop(f"rollout budget used up: run.max_groups={balance.limit}")

    def _require_progress(self, balance: Balance) -> None:
        """Raises NoProgress when nothing changed for `deploy.no_progress_s`.

        The learner's status counts as a change: after a restart it trains steps again that the counters already hold.
        """
        counted = (balance.issued, balance.trained, balance.dropped, self._state.restarts)
        progress = (*counted, self._state.learner_status)
        if progress != self._progress:
            self._progress, self._progress_at = progress, time.monotonic()
        elif time.monotonic() - self._progress_at > self._deploy.no_progress_s:
            raise NoProgress(
                f"no group was issued or ended for deploy.no_progress_s={self._deploy.no_progress_s:g} s; "
                f"groups in flight: {balance.in_flight}"
            )

    def wind_down(self) -> None:
        """Wait for the roles, which have seen the stop flag, and kill those that do not finish in time.

        Of roles that die now only the learner is restarted: the final weights may not be saved yet.
        """
        deadline = time.monotonic() + WIND_DOWN_S
        while any(domain.must_finish for domain in self._domains) and time.monotonic() < deadline:
            for domain in self._domains:
                died = self._failure(domain)
                if died and domain.needed_to_finish:
                    self._replace(domain, died)
                    deadline = time.monotonic() + WIND_DOWN_S
                elif died:
                    domain.kill()
                    self._state.note(f"{died}; it is not restarted because the run is ending")
            self._refresh()
            time.sleep(TICK_S / 5)
        for domain in self._domains:
            if domain.must_finish:
                self._state.note(f"{domain.roles[0].name} did not finish in {WIND_DOWN_S:g} s and was killed")
                domain.kill()
