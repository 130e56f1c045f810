"""Supervision: every role is alive, every lease is somebody's, the run makes progress or says why it ends.

consumes    the host's word on each role, heartbeats, the weight board, the balance
waits for   the stop flag: set by the learner at its last step, by the user's signal, or here when the rollout budget
            is used up and no further batch can form
unblocked by its own deadlines: a silent role is killed, a run without progress is stopped with an error

A role that died is started again, the ranks of the learner all together: they go on from the newest intact checkpoint
while the engines keep generating, until the ring or the bound on the lag holds them back. `deploy.max_restarts` bounds
it.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from broker.balance import Balance
from broker.errors import PopeError
from broker.weights import WeightBoard
from conf.schema import DeploySettings, RunConfig
from deploy.cluster.fleet import Domain, Member, RoleFailed
from deploy.cluster.health import LATE_BEATS
from deploy.store.run_state import RunState

log = logging.getLogger(__name__)

TICK_S = 0.5
WIND_DOWN_S = 120.0
"""Longest time a role may take to finish once the run stops: a checkpoint on a slow disk fits in."""


class NoProgress(PopeError):
    """Nothing moved for too long."""


def overdue(member: Member, silence: Mapping[str, float], deploy: DeploySettings) -> str | None:
    """Why a role must be killed although its process lives. `silence`: role -> seconds since its last sign of life."""
    if member.state == "starting" and member.seconds_in_state() > deploy.start_timeout_s:
        return f"{member.name} was not up after deploy.start_timeout_s={deploy.start_timeout_s:g} s"
    if member.state == "running" and silent_s(member, silence) > deploy.dead_after_s:
        return f"{member.name} gave no sign of life for deploy.dead_after_s={deploy.dead_after_s:g} s"
    return None


def silent_s(member: Member, silence: Mapping[str, float]) -> float:
    """Seconds since the last sign of incarnation of a role at work, or since it went to work."""
    return min(silence.get(member.name, float("inf")), member.seconds_in_state())


class Supervisor:
    """Watches the roles of a run until they have all finished."""

    def __init__(
        self,
        config: RunConfig,
        domains: Sequence[Domain],
        state: RunState,
        board: WeightBoard,
        show: Callable[[RunState], None],
    ) -> None:
        """`board`: where the engines say which weights they hold, that of the run even in one of its stages."""
        self._config = config
        self._domains = domains
        self._state = state
        self._board = board
        self._show = show
        self._owed: dict[str, int] = {}
        """Engine that is not trusted yet -> policy version it must come to hold first."""
        self._noted: dict[str, str] = {}
        self._progress: tuple[object, ...] = ()
        self._progress_at = time.monotonic()

    def run(self) -> str:
        """Until every role has finished. Returns why the run ended. Raises RoleFailed or NoProgress."""
        while not (reason := self._state.control.stopped()):
            self.tick()
            self._stop_when_drained()
            time.sleep(TICK_S)
        self.wind_down()
        return reason

    def tick(self) -> None:
        """One look at everything: leases, roles, the balance."""
        self._state.feed.reclaim(max_attempts=self._config.actors.max_attempts)
        for domain in self._domains:
            if died := self._dead(domain):
                self._replace(domain, died)
        self._look()
        self._require_progress(self._state.balance)

    def _dead(self, domain: Domain) -> str | None:
        """Why the domain needs a new incarnation, if it does."""
        late = (overdue(member, self._state.silence, self._config.deploy) for member in domain.members)
        return domain.poll() or next(filter(None, late), None)

    def _look(self) -> None:
        self._state.refresh()
        self._follow_health()
        self._show(self._state)

    def _follow_health(self) -> None:
        """Tell each role what was seen of it, and everybody else what it is held for."""
        patience_s = LATE_BEATS * self._config.deploy.heartbeat_s
        held = self._board.held()
        for member in (member for domain in self._domains for member in domain.members):
            if member.state == "running":
                member.observe("late" if silent_s(member, self._state.silence) > patience_s else "beat")
            if member.health == "stale":
                owed = self._owed.setdefault(member.name, self._board.version())
                if held.get(member.name, -1) >= owed:
                    member.observe("synced")
            else:
                self._owed.pop(member.name, None)
            if self._noted.get(member.name) != member.health:
                self._noted[member.name] = member.health
                self._state.health.note(member.name, member.health)

    def _replace(self, domain: Domain, died: str) -> None:
        domain.kill()
        for member in domain.members:
            self._state.feed.release(member.incarnation, max_attempts=self._config.actors.max_attempts)
            if member.serves_weights:
                self._board.forget(member.name)
        if domain.hopeless:
            raise RoleFailed(died)
        if domain.restarts >= self._config.deploy.max_restarts:
            used_up = f"deploy.max_restarts={self._config.deploy.max_restarts} is used up"
            raise RoleFailed(f"{died}; {used_up}; continue with run.resume=true")
        domain.restart()
        self._state.restarts += 1
        self._state.note(f"{died}; restart {domain.restarts}")
        log.warning("%s; restart %d", died, domain.restarts)

    def _stop_when_drained(self) -> None:
        """The budget is used up and what is left in the ring fills no batch."""
        balance = self._state.balance
        too_few = balance.ring_samples < self._config.learner.batch_samples
        if balance.drained and balance.in_flight["taken"] == 0 and too_few:
            self._state.control.stop(f"rollout budget used up: run.max_groups={balance.limit}")

    def _require_progress(self, balance: Balance) -> None:
        """A learner that was started again trains steps which are counted already: what it says tells of them."""
        counted = (balance.issued, balance.trained, balance.dropped, self._state.restarts)
        progress = (*counted, self._state.learner_does)
        if progress != self._progress:
            self._progress, self._progress_at = progress, time.monotonic()
        elif time.monotonic() - self._progress_at > self._config.deploy.no_progress_s:
            raise NoProgress(
                f"no group was issued or ended for deploy.no_progress_s={self._config.deploy.no_progress_s:g} s; "
                f"where they are: {balance.in_flight}"
            )

    def wind_down(self) -> None:
        """Everybody has seen the stop flag; wait for them, then end those that do not come.

        Of those that die now only the learner is replaced: the weights it was about to leave behind are not safe yet.
        """
        deadline = time.monotonic() + WIND_DOWN_S
        while any(domain.awaited for domain in self._domains) and time.monotonic() < deadline:
            for domain in self._domains:
                died = self._dead(domain)
                if died and domain.to_the_end:
                    self._replace(domain, died)
                    deadline = time.monotonic() + WIND_DOWN_S
                elif died:
                    domain.kill()
                    self._state.note(f"{died}; the run was ending, it is not replaced")
            self._look()
            time.sleep(TICK_S / 5)
        for domain in self._domains:
            if domain.awaited:
                self._state.note(f"{domain.members[0].name} did not finish in {WIND_DOWN_S:g} s and was ended")
                domain.kill()
