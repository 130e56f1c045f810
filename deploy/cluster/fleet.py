"""The roles of a run and what becomes of each: started, running, dead and started again, finished."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

from broker.errors import PopeError
from conf.schema import RunConfig
from deploy.cluster.health import Event, Health, after

log = logging.getLogger(__name__)


class RoleFailed(PopeError):
    """A role died and cannot be started again."""


class Host(Protocol):
    """Where roles live: how their calls are followed, and how their processes are ended."""

    def done(self, call: Any) -> bool: ...

    def result(self, call: Any, timeout_s: float | None = None) -> Any:
        """Raises what the role raised, and whatever the host says of a process that is gone."""
        ...

    def kill(self, handle: Any) -> None:
        """End the process without asking it."""
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


class Member:
    """One role. `spawn` makes its process; its work is a method `work(handle, incarnation)` calls, which ends when the
    work does."""

    def __init__(
        self,
        name: str,
        *,
        spawn: Callable[[], Any],
        log_path: str,
        serves_weights: bool = False,
        host: Host | None = None,
    ) -> None:
        self.name = name
        self.serves_weights = serves_weights
        self.restarts = 0
        self.state: Literal["absent", "starting", "up", "running", "finished"] = "absent"
        self.health: Health = "restarting"
        self.hopeless = False
        """It died of an error that would come again."""
        self.handle: Any = None
        self._host = host or RayHost()
        self._session = time.time_ns()
        self._spawn = spawn
        self._work: Callable[[Any, str], Any] | None = None
        self._call: Any = None
        self._since = 0.0
        self._log_path = log_path

    @property
    def incarnation(self) -> str:
        """Names this incarnation of the role; a restarted role must not be taken for the one that died."""
        return f"{self.name}@{self._session}.{self.restarts}"

    def start(self) -> None:
        """Make the process; `poll` sees it come up."""
        self.observe("restart")
        self.handle = self._spawn()
        self._call = self.handle.start.remote()
        self._enter("starting")

    def wait_started(self, timeout_s: float) -> None:
        """Block until the role is up. Raises RoleFailed."""
        self._result(self._call, timeout_s)

    def ask(self, question: Callable[[Any], Any], timeout_s: float) -> Any:
        """The answer of a role that is up and not at work. Raises RoleFailed."""
        return self._result(question(self.handle), timeout_s)

    def work_on(self, work: Callable[[Any, str], Any]) -> None:
        """Give a role its next work; one that is not there is started first."""
        self._work = work
        if self.handle is None:
            self.start()
        else:
            self.begin()

    def begin(self) -> None:
        """Go to work. The role is up."""
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
            self.hopeless = getattr(error, "final", False)
            return self._describe(error)
        self._enter("up" if self.state == "starting" else "finished")
        return None

    def observe(self, event: Event) -> None:
        """What was seen of the role."""
        self.health = after(self.health, event)
        if event == "up" and not self.serves_weights:
            self.health = after(self.health, "synced")

    def seconds_in_state(self) -> float:
        return time.monotonic() - self._since

    def kill(self) -> None:
        """End the process without asking it."""
        if self.handle is not None:
            self._host.kill(self.handle)
            self.observe("died")
        self.handle = None
        if self.state != "finished":
            self.state = "absent"

    def _enter(self, state: Literal["starting", "up", "running", "finished"]) -> None:
        self.state, self._since = state, time.monotonic()

    def _result(self, call: Any, timeout_s: float) -> Any:
        try:
            return self._host.result(call, timeout_s)
        except Exception as error:
            raise RoleFailed(self._describe(error)) from error

    def _describe(self, error: Exception) -> str:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        last = lines[-1] if lines else type(error).__name__
        return f"{self.name} died: {last[:300]} (see {self._log_path})"


class Domain:
    """Roles that fail together; most are alone in their own (`failure_domains`)."""

    def __init__(
        self, members: Sequence[Member], *, before: Callable[[], None] = lambda: None, to_the_end: bool = False
    ) -> None:
        """`before` is called when the members of a new incarnation are up, before they begin; it may raise RoleFailed.
        `to_the_end`: what they do last is needed, so they are replaced even while the run winds down."""
        self.members = tuple(members)
        self.to_the_end = to_the_end
        self._before = before

    @property
    def restarts(self) -> int:
        return self.members[0].restarts

    @property
    def hopeless(self) -> bool:
        return any(member.hopeless for member in self.members)

    @property
    def awaited(self) -> bool:
        """Whether a run that ends waits for it: for roles at work, and for those whose last deeds are still to come."""
        states = ("starting", "up", "running") if self.to_the_end else ("running",)
        return any(member.state in states for member in self.members)

    def poll(self) -> str | None:
        """Advance every member; they begin once all are up. Returns why one died, if one did since the last call."""
        for member in self.members:
            if died := member.poll():
                return died
        if all(member.state == "up" for member in self.members):
            try:
                self._before()
            except RoleFailed as error:
                return str(error)
            for member in self.members:
                member.begin()
        return None

    def kill(self) -> None:
        for member in self.members:
            member.kill()

    def restart(self) -> None:
        """A new incarnation of all members, which are gone."""
        for member in self.members:
            member.restarts += 1
            member.start()


def alone(members: Sequence[Member]) -> list[Domain]:
    """Each in a domain of its own."""
    return [Domain([member]) for member in members]


def failure_domains(
    config: RunConfig,
    *,
    actors: Sequence[Member],
    preprocessors: Sequence[Member],
    learners: Sequence[Member],
    admit: Callable[[], None],
    reopen: Callable[[], None],
) -> list[Domain]:
    """What fails together. `admit` admits a new incarnation of the learner, `reopen` clears the announced weights.

    No rank of the learner can go on without the others. Nor can an engine that nobody stands in for, where weights are
    broadcast: a new one waits for the next broadcast, and the learner for rollouts before it makes one. So both begin
    again, at the newest checkpoint.
    """
    if config.weights.backend == "nccl" and len(actors) == 1:

        def begin() -> None:
            reopen()
            admit()

        return [*alone(preprocessors), Domain([*learners, *actors], before=begin, to_the_end=True)]
    return [*alone([*actors, *preprocessors]), Domain(learners, before=admit, to_the_end=True)]
