"""Roles as plain processes instead of Ray actors, for the real supervisor.

They are forked, so that a new incarnation is up quickly. A role reports that it is up, and begins to work when it gets
its options.
"""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import torch

from broker import failpoints
from learner.deepspeed_engine import import_deepspeed
from tests.faults.simulated_engine import run_actor
from tests.forking import FORKING, begin
from tests.learner import rank_main

RoleKind = Literal["actor", "learner"]

import_deepspeed(torch.device("cpu"))  # in the process from which roles are forked


class Call:
    """A call of a role. `finished` returns whether there is an answer."""

    def __init__(self, role: "LocalRole", finished: Callable[[], bool], answer: Any = None) -> None:
        self.role, self.finished, self.answer = role, finished, answer


class LocalRole:
    """A role in its own process, with the methods that the driver calls on a Ray actor."""

    def __init__(self, kind: RoleKind, name: str, folder: Path, fails: str) -> None:
        """`folder`: the run's. `fails`: its failpoints."""
        self.name, self.log = name, folder / "processes" / f"{name}.log"
        self.log.parent.mkdir(exist_ok=True)
        self._pipe, theirs = FORKING.Pipe()
        self.process = FORKING.Process(
            target=_live, args=(kind, self.log, theirs, fails, folder / failpoints.FOLDER), daemon=True
        )
        self.process.start()
        theirs.close()
        self.start = SimpleNamespace(remote=lambda: Call(self, self._pipe.poll))
        self.address = SimpleNamespace(remote=lambda: Call(self, lambda: True, _free_address()))

    def run(self, **options: Any) -> Call:
        """Begin to work. The call is finished when the process has ended."""
        with contextlib.suppress(BrokenPipeError):  # it has died, which the host reports
            self._pipe.send(options)
        return Call(self, lambda: False)

    def signal(self, number: signal.Signals) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)


class LocalHost:
    """The host of `LocalRole`s. Roles in `cut_off` cannot be killed, as if their machine did not answer."""

    def __init__(self) -> None:
        self.cut_off: set[str] = set()
        self.lost: list[LocalRole] = []
        """Roles that should have been killed and still run."""

    def done(self, call: Call) -> bool:
        return call.role.process.exitcode is not None or call.finished()

    def result(self, call: Call, timeout_s: float | None = None) -> Any:
        deadline = time.monotonic() + (timeout_s or 0.0)
        while not self.done(call):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no answer in {timeout_s} s")
            time.sleep(0.01)
        if code := call.role.process.exitcode:
            last = call.role.log.read_text().strip().rpartition("\n")[2]
            raise ChildProcessError(f"exit code {code}: {last}")
        return call.answer

    def kill(self, handle: LocalRole) -> None:
        if handle.name in self.cut_off:
            self.lost.append(handle)
            return
        handle.process.kill()
        handle.process.join()


def _live(kind: RoleKind, log: Path, pipe: "Connection[Any, Any]", fails: str, markers: Path) -> None:
    """The role's process."""
    begin(log, fails, markers)
    pipe.send("up")
    with contextlib.suppress(EOFError):  # the driver has ended
        options = pipe.recv()
        os.environ.update(options.pop("environment", {}))
        {"actor": run_actor, "learner": rank_main.learner}[kind](options)


def _free_address() -> tuple[str, int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return "127.0.0.1", probe.getsockname()[1]
