"""The roles of a run and what becomes of each: started, running, dead and started again, finished."""

import logging
import time
from collections.abc import Callable
from typing import Any, Literal

from broker.errors import PopeError

log = logging.getLogger(__name__)


class RoleFailed(PopeError):
    """A role died and cannot be started again."""


class Member:
    """One role. `spawn` makes its Ray actor; its work is a method `work(handle, incarnation)` calls, which ends when
    the work does."""

    def __init__(self, name: str, *, spawn: Callable[[], Any], restartable: bool, log_path: str) -> None:
        self.name = name
        self.restartable = restartable
        self.restarts = 0
        self.state: Literal["absent", "starting", "running", "finished"] = "absent"
        self.handle: Any = None
        self._session = time.time_ns()
        self._spawn = spawn
        self._work: Callable[[Any, str], Any] | None = None
        self._future: Any = None
        self._since = 0.0
        self._log_path = log_path

    @property
    def incarnation(self) -> str:
        """Names this life of the role; a restarted role must not be taken for the one that died."""
        return f"{self.name}@{self._session}.{self.restarts}"

    def start(self) -> None:
        """Make the Ray actor; `poll` sees it come up."""
        self.handle = self._spawn()
        self._future = self.handle.start.remote()
        self.state = "starting"
        self._since = time.monotonic()

    def wait_started(self, timeout_s: float) -> None:
        """Block until the role is up. Raises RoleFailed."""
        import ray

        try:
            ray.get(self._future, timeout=timeout_s)
        except Exception as error:
            raise RoleFailed(self._describe(error)) from error

    def work_on(self, work: Callable[[Any, str], Any]) -> None:
        """Give a role its next work; one that is not there is started first."""
        self._work = work
        if self.handle is None:
            self.start()
        else:
            self._begin(work)

    def _begin(self, work: Callable[[Any, str], Any]) -> None:
        self._future = work(self.handle, self.incarnation)
        self.state = "running"
        self._since = time.monotonic()

    def poll(self) -> str | None:
        """Advance the state. Returns why the role died, if it did since the last call."""
        import ray

        if self.state not in ("starting", "running"):
            return None
        done, _ = ray.wait([self._future], timeout=0)
        if not done:
            return None
        try:
            ray.get(done[0])
        except Exception as error:
            self.state = "absent"
            return self._describe(error)
        if self.state == "starting":
            assert self._work is not None, "supervision begins once every role has work"
            self._begin(self._work)
        else:
            self.state = "finished"
        return None

    def seconds_in_state(self) -> float:
        return time.monotonic() - self._since

    def kill(self) -> None:
        """End the process without asking it."""
        import ray

        if self.handle is not None:
            ray.kill(self.handle, no_restart=True)
        self.handle = None
        if self.state != "finished":
            self.state = "absent"

    def _describe(self, error: Exception) -> str:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        last = lines[-1] if lines else type(error).__name__
        return f"{self.name} died: {last[:300]} (see {self._log_path})"
