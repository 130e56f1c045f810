"""Judges responses; runs math-verify in child processes that can be killed.

An answer may block math-verify inside a C call, which neither an alarm nor a thread can interrupt, or exhaust memory.
Every comparison that `answer_rules` does not decide is therefore made in a worker process with a memory limit. When the
deadline passes, the worker is killed and replaced, and the verdict on that response is `timeout`. If a worker dies, the
verdict on the response it was judging is `crash`. Other responses are not affected.
"""

import asyncio
import itertools
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from actors.verification.answer_rules import Comparison, decide, reference_form
from actors.verification.answers import claimed_answers
from actors.verification.thoughts import DEFAULT_THOUGHTS, Thoughts
from broker.records import Verdict
from conf.schema import VerifierSettings

COMPARISONS_PER_WORKER = 2000
"""Comparisons after which a worker is replaced, because the caches of sympy grow."""
START_S = 60.0
"""Longest start of a worker, seconds; importing math-verify takes about one."""
START_ATTEMPTS = 3
MAX_CLAIMS = 8
"""Largest number of different answers of a response; with more it is wrong, without a comparison."""

_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "TZ")
"""The variables that child processes inherit; none contains a token, a key or a URL."""
_SCRIPT = Path(__file__).with_name("verifier_process.py")


class VerifierUnavailable(RuntimeError):
    """The pool is closed, or no worker can be started."""


class WorkerDied(Exception):
    """The worker closed its end of the socket."""


class VerifierPool:
    """`settings.workers` worker processes, used from one event loop. They end at `close` or with this process."""

    def __init__(self, settings: VerifierSettings, thoughts: Thoughts = DEFAULT_THOUGHTS) -> None:
        self._thoughts = thoughts
        self._deadline_s = settings.deadline_s
        self._fork_server = _ForkServer(int(settings.memory_gib * 2**30))
        self._closed = False
        self._workers = {_Worker(self._fork_server) for _ in range(settings.workers)}
        self._idle: asyncio.Queue[_Worker] = asyncio.Queue()
        for worker in self._workers:
            self._idle.put_nowait(worker)

    async def judge(self, text: str, reference: str) -> Verdict:
        """Verdict on a response: `correct` if all answers it claims are correct (see `answers`).

        Raises VerifierUnavailable.
        """
        answers = claimed_answers(text, self._thoughts)
        if not answers:
            return "no_answer"
        if len(answers) > MAX_CLAIMS:
            return "wrong"
        decisions = [decide(reference, answer) for answer in answers]
        for refused in ("wrong", "unparsable"):
            if refused in decisions:
                return refused
        comparisons = [decision for decision in decisions if isinstance(decision, Comparison)]
        if not comparisons:
            return "correct"
        return await self._compare([{"references": each.references, "answer": each.answer} for each in comparisons])

    async def judge_reference(self, reference: str) -> Verdict:
        """`correct` if math-verify can parse a reference answer, else `unparsable`, `timeout` or `crash`."""
        return await self._compare([{"references": [reference_form(reference)], "answer": None}])

    def close(self) -> None:
        """Kills all workers. Responses that are being judged get `timeout` or `crash`."""
        self._closed = True
        for worker in self._workers:
            worker.close()
        self._fork_server.close()

    async def _compare(self, comparisons: list[dict[str, Any]]) -> Verdict:
        worker = await self._idle.get()
        if self._closed:
            self._idle.put_nowait(worker)
            raise VerifierUnavailable("the verifier pool is closed")
        healthy = False
        try:
            for _ in range(START_ATTEMPTS):
                try:
                    await worker.start()
                    break
                except WorkerDied:
                    worker = self._replace(worker)
            else:
                raise VerifierUnavailable(
                    f"{START_ATTEMPTS} verifier processes ended before their first verdict; see their stderr"
                )
            async with asyncio.timeout(self._deadline_s):
                verdict = await worker.compare(comparisons)
            healthy = True
            return verdict
        except TimeoutError:
            return "timeout"
        except WorkerDied:
            return "crash"
        finally:  # also when cancelled: a late reply must not be read as the verdict on the next response
            if not healthy or worker.num_comparisons >= COMPARISONS_PER_WORKER:
                worker = self._replace(worker)
            self._idle.put_nowait(worker)

    def _replace(self, worker: "_Worker") -> "_Worker":
        """Kills a worker and returns a new one, or the same one if the pool is closed."""
        self._workers.discard(worker)
        worker.close()
        if self._closed:
            return worker
        replacement = _Worker(self._fork_server)
        self._workers.add(replacement)
        return replacement


class _Worker:
    """The parent's connection to one worker process."""

    def __init__(self, fork_server: "_ForkServer") -> None:
        self._fork_server = fork_server
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        with theirs:
            self._id = fork_server.spawn(theirs)
        self._ready = False
        self.num_comparisons = 0

    async def start(self) -> None:
        """Waits until the worker is ready. Raises WorkerDied, or VerifierUnavailable after `START_S`."""
        if not self._ready:
            try:
                async with asyncio.timeout(START_S):
                    await self._receive()
            except TimeoutError as error:
                raise VerifierUnavailable(f"a verifier process did not start within {START_S:g} s") from error
            self._ready = True
        self._check_alive()  # it may have died after it was ready

    async def compare(self, comparisons: list[dict[str, Any]]) -> Verdict:
        """The verdict of `verifier_process.judge_all`. Raises WorkerDied."""
        self.num_comparisons += 1
        body = json.dumps(comparisons).encode()
        try:
            await asyncio.get_running_loop().sock_sendall(self._socket, len(body).to_bytes(4, "big") + body)
        except OSError as error:
            raise WorkerDied from error
        verdict: Verdict = msgspec.json.decode(await self._receive(), type=Verdict)
        return verdict

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


class _ForkServer:
    """The parent's connection to the process that forks the workers; the process is restarted if it dies."""

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._ids = itertools.count()
        self._start()

    def spawn(self, connection: socket.socket) -> int:
        """Requests a worker that communicates through `connection`. Returns its id without waiting for its start."""
        worker_id = next(self._ids)
        order = json.dumps({"op": "spawn", "id": worker_id}).encode()
        try:
            socket.send_fds(self._control, [order], [connection.fileno()])
        except OSError:  # the fork server has died, and all its workers with it
            self.close()
            self._start()
            socket.send_fds(self._control, [order], [connection.fileno()])
        return worker_id

    def kill(self, worker_id: int) -> None:
        if worker_id < self._first_id:
            return  # it died with an earlier fork server
        try:
            self._control.send(json.dumps({"op": "kill", "id": worker_id}).encode())
        except OSError:
            return  # the fork server has died, and all its workers with it

    def close(self) -> None:
        self._control.close()
        self._process.kill()  # the kernel then kills its workers (PR_SET_PDEATHSIG)
        self._process.wait()

    def _start(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._first_id = next(self._ids)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(_SCRIPT), str(theirs.fileno()), str(self._memory_bytes)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            )
