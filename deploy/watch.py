"""Supervision: every role is alive, every lease is somebody's, the run makes progress or says why it ends.

consumes    Ray's word on each role, heartbeats, the balance
waits for   the stop flag: set by the learner at its last step, by the user's signal, or here when the rollout budget
            is used up and no further batch can form
unblocked by its own deadlines: a silent role is killed, a run without progress is stopped with an error
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from broker.balance import Balance
from broker.errors import PopeError
from conf.schema import DeploySettings, RunConfig
from deploy.fleet import Member, RoleFailed
from deploy.state import RunState

log = logging.getLogger(__name__)

TICK_S = 0.5
WIND_DOWN_S = 120.0
"""Longest time a role may take to finish once the run stops: a checkpoint on a slow disk fits in."""


class NoProgress(PopeError):
    """Nothing moved for too long."""


def overdue(member: Member, silence: Mapping[str, float], deploy: DeploySettings) -> str | None:
    """Why a role must be killed although Ray calls it alive. `silence`: role -> seconds since its last sign of life."""
    if member.state == "starting" and member.seconds_in_state() > deploy.start_timeout_s:
        return f"{member.name} was not up after deploy.start_timeout_s={deploy.start_timeout_s:g} s"
    silent_s = min(silence.get(member.name, float("inf")), member.seconds_in_state())
    if member.state == "running" and silent_s > deploy.dead_after_s:
        return f"{member.name} gave no sign of life for deploy.dead_after_s={deploy.dead_after_s:g} s"
    return None


class Supervisor:
    """Watches the members of a run until they have all finished."""

    def __init__(
        self, config: RunConfig, members: Sequence[Member], state: RunState, show: Callable[[RunState], None]
    ) -> None:
        self._config = config
        self._members = members
        self._state = state
        self._show = show
        self._progress: tuple[int, ...] = ()
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
        for member in self._members:
            if died := member.poll() or overdue(member, self._state.silence, self._config.deploy):
                self._replace(member, died)
        self._state.refresh()
        self._show(self._state)
        self._require_progress(self._state.balance)

    def _replace(self, member: Member, died: str) -> None:
        member.kill()
        self._state.feed.release(member.incarnation, max_attempts=self._config.actors.max_attempts)
        if not member.restartable:
            raise RoleFailed(f"{died}; continue with run.resume=true")
        if member.restarts >= self._config.deploy.max_restarts:
            raise RoleFailed(f"{died}; deploy.max_restarts={self._config.deploy.max_restarts} is used up")
        member.restarts += 1
        self._state.restarts += 1
        self._state.note(f"{died}; restart {member.restarts}")
        log.warning("%s; restart %d", died, member.restarts)
        member.start()

    def _stop_when_drained(self) -> None:
        """The budget is used up and what is left in the ring fills no batch."""
        balance = self._state.balance
        too_few = balance.ring_samples < self._config.learner.batch_samples
        if balance.drained and balance.in_flight["taken"] == 0 and too_few:
            self._state.control.stop(f"rollout budget used up: run.max_groups={balance.limit}")

    def _require_progress(self, balance: Balance) -> None:
        progress = (balance.issued, balance.trained, balance.dropped, self._state.restarts)
        if progress != self._progress:
            self._progress, self._progress_at = progress, time.monotonic()
        elif time.monotonic() - self._progress_at > self._config.deploy.no_progress_s:
            raise NoProgress(
                f"no group was issued or ended for deploy.no_progress_s={self._config.deploy.no_progress_s:g} s; "
                f"where they are: {balance.in_flight}"
            )

    def wind_down(self) -> None:
        """Everybody has seen the stop flag; wait for them, then end those that do not come."""
        deadline = time.monotonic() + WIND_DOWN_S
        while any(m.state == "running" for m in self._members) and time.monotonic() < deadline:
            for member in self._members:
                if died := member.poll():
                    if member.restartable:
                        self._state.note(f"{died}; the run was ending, it is not replaced")
                    else:
                        raise RoleFailed(died)
            self._state.refresh()
            self._show(self._state)
            time.sleep(TICK_S / 5)
        for member in self._members:
            if member.state in ("starting", "running"):
                self._state.note(f"{member.name} did not finish in {WIND_DOWN_S:g} s and was ended")
                member.kill()
