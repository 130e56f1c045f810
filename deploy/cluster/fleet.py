"""The roles of a run and their processes: start, work, death, restart, end."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

from broker.errors import PopeError, UsageError
from conf.errors import ConfigError
from conf.schema import WeightSettings
from deploy.cluster.health import Event, Health, after

log = logging.getLogger(__name__)


class RoleFailed(PopeError):
    """A role died and cannot be started again."""


class RoleRefused(RoleFailed, UsageError):
    """A role refused the user's input: a model, a setting or a file."""


class Host(Protocol):
    """Runs the processes of roles: follows their calls and kills them."""

    def done(self, call: Any) -> bool: ...

    def result(self, call: Any, timeout_s: float | None = None) -> Any:
        """Raises what the role raised, or the host's own error when the process is gone."""
        ...

    def kill(self, handle: Any) -> None:
        """Kill the process."""
        ...


class RayHost:
    """Roles are Ray actors, their calls Ray's object references."""

    def done(self, call: Any) -> bool:
        import ray

        done, _ = ray.wait([call], timeout=0)
        return bool(done)

    def result(self, call: Any, timeout_s: float | None = None) -> Any:
        import ray

        return ray.get(call, timeout=timeout_s)

    def kill(self, handle: Any) -> None:
        import ray

        ray.kill(handle, no_restart=True)


class ManagedRole:
    """One role and the process of its present incarnation.

    `spawn` makes the process. The role's work is one call, `work(handle, incarnation)`, which ends when the work does.
    """

    def __init__(
        self,
        name: str,
        *,
        spawn: Callable[[], Any],
        log_path: str,
        serves_weights: bool = False,
        host: Host | None = None,
        session: int | None = None,
    ) -> None:
        """`session`: part of the names of all incarnations; the same for all roles that one command starts, and another
        for every command. None: the time."""
        self.name = name
        self.serves_weights = serves_weights
        self.restarts = 0
        self.state: Literal["absent", "starting", "up", "running", "finished"] = "absent"
        self.health: Health = "restarting"
        self.final_failure: RoleFailed | None = None
        """Why the role died, if a restart would fail in the same way."""
        self.handle: Any = None
        self._host = host or RayHost()
        self._session = time.time_ns() if session is None else session
        self._spawn = spawn
        self._work: Callable[[Any, str], Any] | None = None
        self._call: Any = None
        self._since = 0.0
        self._log_path = log_path

    @property
    def incarnation(self) -> str:
        """Name of the present incarnation; no two incarnations of a role share one."""
        return f"{self.name}@{self._session}.{self.restarts}"

    def make_process(self) -> None:
        """Make the process, which can be asked but does not start yet."""
        self.observe("restart")
        self.handle = self._spawn()

    def start(self) -> None:
        """Start the role, in a new process unless it has one; `poll` notices when it is up."""
        if self.handle is None:
            self.make_process()
        self._call = self.handle.start.remote()
        self._enter("starting")

    def wait_started(self, timeout_s: float) -> None:
        """Block until the role is up. Raises RoleFailed."""
        self.receive(self._call, timeout_s)

    def ask(self, call: Callable[[Any], Any], timeout_s: float) -> Any:
        """The result of `call(handle)`, which calls a role that is idle. Raises RoleFailed."""
        return self.receive(call(self.handle), timeout_s)

    def receive(self, call: Any, timeout_s: float) -> Any:
        """The result of a call of this role that was made before. Raises RoleFailed."""
        try:
            return self._host.result(call, timeout_s)
        except Exception as error:
            raise self._failure(error) from error

    def work_on(self, work: Callable[[Any, str], Any]) -> None:
        """Give the role its next work; start it first if it has no process."""
        self._work = work
        if self.handle is None:
            self.start()
        else:
            self.begin()

    def begin(self) -> None:
        """Begin the work. The role is up."""
        assert self._work is not None, "supervision begins once every role has work"
        self.observe("up")
        self._call = self._work(self.handle, self.incarnation)
        self._enter("running")

    def poll(self) -> str | None:
        """Advance the state. Returns why the role died, if it did since the last call."""
        if self.state not in ("starting", "running") or not self._host.done(self._call):
            return None
        try:
            self._host.result(self._call)
        except Exception as error:
            self.state = "absent"
            failure = self._failure(error)
            self.final_failure = failure if getattr(error, "final", False) else None
            return str(failure)
        self._enter("up" if self.state == "starting" else "finished")
        return None

    def observe(self, event: Event) -> None:
        """Update the health."""
        self.health = after(self.health, event)
        if event == "up" and not self.serves_weights:
            self.health = after(self.health, "synced")

    def seconds_in_state(self) -> float:
        return time.monotonic() - self._since

    def kill(self) -> None:
        """Kill the process, if there is one."""
        if self.handle is not None:
            self._host.kill(self.handle)
            self.observe("died")
        self.handle = None
        if self.state != "finished":
            self.state = "absent"

    def _enter(self, state: Literal["starting", "up", "running", "finished"]) -> None:
        self.state, self._since = state, time.monotonic()

    def _failure(self, error: Exception) -> RoleFailed:
        """The error of a role for the user: one line, and where to read more."""
        raised = getattr(error, "cause", None) or error  # Ray wraps what the role raised
        if isinstance(raised, UsageError | ConfigError) and raised.final:
            return RoleRefused(f"{self.name}: {raised} (see {self._log_path})")
        if isinstance(raised, PopeError):
            return RoleFailed(f"{self.name} died: {raised} (see {self._log_path})")
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        last = lines[-1] if lines else type(error).__name__
        return RoleFailed(f"{self.name} died: {last[:300]} (see {self._log_path})")


class Domain:
    """Roles that fail and restart together; most roles have a domain of their own (`failure_domains`)."""

    def __init__(
        self,
        roles: Sequence[ManagedRole],
        *,
        before_work: Callable[[], None] = lambda: None,
        needed_to_finish: bool = False,
    ) -> None:
        """`before_work` is called when all roles of a new incarnation are up, before they begin; it may raise
        RoleFailed. `needed_to_finish`: the roles are restarted even while the run winds down, because they save its
        result."""
        self.roles = tuple(roles)
        self.needed_to_finish = needed_to_finish
        self._before_work = before_work

    @property
    def restarts(self) -> int:
        return self.roles[0].restarts

    @property
    def final_failure(self) -> RoleFailed | None:
        """Why a role died, if a restart of the domain would fail in the same way."""
        return next((role.final_failure for role in self.roles if role.final_failure is not None), None)

    @property
    def must_finish(self) -> bool:
        """Whether a run that ends must wait for it."""
        states = ("starting", "up", "running") if self.needed_to_finish else ("running",)
        return any(role.state in states for role in self.roles)

    def poll(self) -> str | None:
        """Advance every role; they begin once all are up. Returns why one died, if one did since the last call."""
        deaths = [died for role in self.roles if (died := role.poll())]  # one rank takes the others with it
        if deaths:
            return deaths[0] if self.final_failure is None else str(self.final_failure)
        if all(role.state == "up" for role in self.roles):
            try:
                self._before_work()
            except RoleFailed as error:
                return str(error)
            for role in self.roles:
                role.begin()
        return None

    def kill(self) -> None:
        for role in self.roles:
            role.kill()

    def restart(self) -> None:
        """Start a new incarnation of every role. Their processes are gone."""
        for role in self.roles:
            role.restarts += 1
            role.start()


def separate_domains(roles: Sequence[ManagedRole]) -> list[Domain]:
    """A domain for each role."""
    return [Domain([role]) for role in roles]


def failure_domains(
    weights: WeightSettings,
    *,
    actors: Sequence[ManagedRole],
    preprocessors: Sequence[ManagedRole],
    learners: Sequence[ManagedRole],
    admit: Callable[[], None],
    reopen: Callable[[], None],
) -> list[Domain]:
    """The roles of a training run, grouped by what fails together.

    `admit` admits a new incarnation of the learner, `reopen` clears the announced weights. No learner rank can continue
    without the others. With the nccl backend a single engine and the learner depend on each other too: a new engine
    waits for the next broadcast, and the learner for rollouts before it makes one. Both then restart from the newest
    checkpoint.
    """
    if weights.backend == "nccl" and len(actors) == 1:

        def begin() -> None:
            reopen()
            admit()

        both = Domain([*learners, *actors], before_work=begin, needed_to_finish=True)
        return [*separate_domains(preprocessors), both]
    return [*separate_domains([*actors, *preprocessors]), Domain(learners, before_work=admit, needed_to_finish=True)]
