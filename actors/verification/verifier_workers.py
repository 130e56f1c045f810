"""The parent's ends of the verifier's processes: a fork server, and the workers that it forks (`confined_process`)."""

import asyncio
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

REAP_S = 10.0
"""Longest wait for the exit status of a worker that has ended, seconds; it is known within a millisecond."""
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONHOME", "VIRTUAL_ENV", "TZ")
"""The variables that child processes inherit; none contains a token, a key or a URL."""
MATH_VERIFY, PLUGINS = (Path(__file__).with_name(f"{name}_process.py") for name in ("verifier", "plugin"))
"""The scripts of fork servers."""


class WorkerDied(Exception):
    """The worker closed its end of the socket."""


class DeadlineExceeded(WorkerDied):
    """The worker was ended because it used the CPU time of its deadline."""


class ForkServer:
    """The parent's connection to the process that forks the workers; the process is restarted if it dies."""

    def __init__(self, memory_bytes: int, script: Path = MATH_VERIFY, *arguments: str) -> None:
        self._command = [sys.executable, "-P", str(script)]
        self._arguments = [str(memory_bytes), *arguments]
        self._ids = itertools.count()
        self._start()

    def spawn(self, connection: socket.socket) -> int:
        """Requests a worker that communicates through `connection`. Returns its id without waiting for its start."""
        try:
            return self._request_worker(connection)
        except OSError:  # the fork server has died, and all its workers with it
            self.close()
            self._start()
            return self._request_worker(connection)

    def kill(self, worker_id: int) -> None:
        """Kills a worker without waiting for its end; has no effect on one that has died with its fork server."""
        if worker_id >= self._first_id:
            with suppress(OSError):
                self._order("kill", worker_id)

    def ended_by(self, worker_id: int) -> int | None:
        """The signal that ended a worker whose socket is closed; None if it is not known."""
        if worker_id < self._first_id:
            return None
        try:
            self._order("reap", worker_id)
            status = int(json.loads(self._control.recv(64)))
        except (OSError, ValueError):  # the fork server has died
            return None
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else None

    def close(self) -> None:
        self._control.close()
        self._process.kill()  # the kernel then kills its workers (PR_SET_PDEATHSIG)
        self._process.wait()

    def _request_worker(self, connection: socket.socket) -> int:
        worker_id = next(self._ids)
        self._order("spawn", worker_id, [connection.fileno()])
        return worker_id

    def _order(self, operation: str, worker_id: int, descriptors: Sequence[int] = ()) -> None:
        socket.send_fds(self._control, [json.dumps({"op": operation, "id": worker_id}).encode()], descriptors)

    def _start(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(REAP_S)
        self._first_id = next(self._ids)
        with theirs:
            self._process = subprocess.Popen(
                [*self._command, str(theirs.fileno()), *self._arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=_environment(),
            )


def _environment() -> dict[str, str]:
    """The variables of a fork server, which imports from where this process does."""
    inherited = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    return {**inherited, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}


class Worker:
    """The parent's connection to one worker process."""

    def __init__(self, fork_server: ForkServer) -> None:
        self._fork_server = fork_server
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        with theirs:
            self._id = fork_server.spawn(theirs)
        self._ready = False
        self.num_requests = 0

    async def start(self) -> None:
        """Waits until the worker is ready. Raises WorkerDied."""
        if not self._ready:
            await self._receive()
            self._ready = True
        self._check_alive()  # it may have died after it was ready

    async def ask(self, request: Any, deadline_s: float) -> bytes:
        """The reply to a JSON value, as JSON. Raises WorkerDied, or DeadlineExceeded after that CPU time."""
        self.num_requests += 1
        body = json.dumps({"deadline_s": deadline_s, "request": request}).encode()
        try:
            await asyncio.get_running_loop().sock_sendall(self._socket, len(body).to_bytes(4, "big") + body)
            return await self._receive()
        except (OSError, WorkerDied) as error:
            out_of_time = self._fork_server.ended_by(self._id) == signal.SIGPROF
            raise (DeadlineExceeded if out_of_time else WorkerDied) from error

    def close(self) -> None:
        """Kills the process without waiting for its end."""
        if self._socket.fileno() >= 0:
            self._socket.close()
            self._fork_server.kill(self._id)

    def _check_alive(self) -> None:
        """Raises WorkerDied at the end of the stream; an idle worker sends nothing."""
        try:
            if self._socket.recv(1, socket.MSG_PEEK) == b"":
                raise WorkerDied
        except BlockingIOError:
            pass
        except OSError as error:
            raise WorkerDied from error

    async def _receive(self) -> bytes:
        return await self._receive_exactly(int.from_bytes(await self._receive_exactly(4), "big"))

    async def _receive_exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            try:
                more = await asyncio.get_running_loop().sock_recv(self._socket, size - len(data))
            except OSError as error:
                raise WorkerDied from error
            if not more:
                raise WorkerDied
            data += more
        return data
