"""Verdicts by math-verify, in child processes that can be killed.

One answer may hang math-verify inside a C call, where no alarm and no thread can stop it, or eat all memory. So every
question that `answer_rules` leaves open goes to a worker process with a memory limit; when the deadline passes the
worker is killed and replaced, and only that response is a `timeout`. A worker that dies makes only its own response a
`crash`.
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

from actors.verification.answer_rules import Comparison, decide, gold_form
from actors.verification.answers import claimed_answers
from broker.records import Verdict
from conf.schema import VerifierSettings

TASKS_PER_WORKER = 2000
"""A worker is replaced after so many answers; sympy's caches grow."""
START_S = 60.0
"""A worker that is not ready by then will never be; importing math-verify takes about a second."""
START_ATTEMPTS = 3
MAX_CLAIMS = 8
"""A response that boxes more different answers is wrong without a look at them."""

_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "TZ")
"""What the children see of it: no token, no key, no URL."""
_SCRIPT = Path(__file__).with_name("verifier_process.py")


class VerifierUnavailable(RuntimeError):
    """No worker can be started."""


class WorkerDied(Exception):
    """The worker's socket was closed by its end."""


class VerifierPool:
    """`settings.workers` warm workers, used from one event loop. Close it, or let its process end."""

    def __init__(self, settings: VerifierSettings) -> None:
        self._deadline_s = settings.deadline_s
        self._nursery = _Nursery(int(settings.memory_gib * 2**30))
        self._closed = False
        self._workers = {_Worker(self._nursery) for _ in range(settings.workers)}
        self._idle: asyncio.Queue[_Worker] = asyncio.Queue()
        for worker in self._workers:
            self._idle.put_nowait(worker)

    async def judge(self, text: str, gold: str) -> Verdict:
        """Verdict on what a response claims: correct when every answer it boxes is, see `answers`."""
        answers = claimed_answers(text)
        if not answers:
            return "no_answer"
        if len(answers) > MAX_CLAIMS:
            return "wrong"
        decisions = [decide(gold, answer) for answer in answers]
        for refused in ("wrong", "unparsable"):
            if refused in decisions:
                return refused
        comparisons = [decision for decision in decisions if isinstance(decision, Comparison)]
        if not comparisons:
            return "correct"
        return await self._ask([{"golds": each.golds, "answer": each.answer} for each in comparisons])

    async def parses(self, gold: str) -> bool:
        """Whether math-verify understands a gold answer; one that it does not could never be matched."""
        return await self.judge_gold(gold) == "correct"

    async def judge_gold(self, gold: str) -> Verdict:
        """`correct` when math-verify understands a gold answer, else `unparsable`, `timeout` or `crash`."""
        return await self._ask([{"golds": [gold_form(gold)], "answer": None}])

    def close(self) -> None:
        """End all workers at once; a question still open gets `timeout` or `crash`."""
        self._closed = True
        for worker in self._workers:
            worker.close()
        self._nursery.close()

    async def _ask(self, questions: list[dict[str, Any]]) -> Verdict:
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
                    worker = self._replaced(worker)
            else:
                raise VerifierUnavailable(
                    f"{START_ATTEMPTS} verifier processes ended before their first answer; their stderr says why"
                )
            async with asyncio.timeout(self._deadline_s):
                verdict = await worker.ask(questions)
            healthy = True
            return verdict
        except TimeoutError:
            return "timeout"
        except WorkerDied:
            return "crash"
        finally:  # also when cancelled: a reply still to come must not answer the next question
            if not healthy or worker.num_asked >= TASKS_PER_WORKER:
                worker = self._replaced(worker)
            self._idle.put_nowait(worker)

    def _replaced(self, worker: "_Worker") -> "_Worker":
        self._workers.discard(worker)
        worker.close()
        if self._closed:
            return worker
        fresh = _Worker(self._nursery)
        self._workers.add(fresh)
        return fresh


class _Worker:
    """The parent's end of one worker process."""

    def __init__(self, nursery: "_Nursery") -> None:
        self._nursery = nursery
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        with theirs:
            self._id = nursery.spawn(theirs)
        self._ready = False
        self.num_asked = 0

    async def start(self) -> None:
        """Returns once the worker waits for a question. Raises WorkerDied when it is gone."""
        if not self._ready:
            try:
                async with asyncio.timeout(START_S):
                    await self._receive()
            except TimeoutError as error:
                raise VerifierUnavailable(f"a verifier process did not start within {START_S:g} s") from error
            self._ready = True
        self._check_alive()  # also the first time: it may have died since it said so

    async def ask(self, questions: list[dict[str, Any]]) -> Verdict:
        self.num_asked += 1
        body = json.dumps(questions).encode()
        try:
            await asyncio.get_running_loop().sock_sendall(self._socket, len(body).to_bytes(4, "big") + body)
        except OSError as error:
            raise WorkerDied from error
        verdict: Verdict = msgspec.json.decode(await self._receive(), type=Verdict)
        return verdict

    def close(self) -> None:
        """Kill the process; its end is not waited for."""
        if self._socket.fileno() >= 0:
            self._socket.close()
            self._nursery.kill(self._id)

    def _check_alive(self) -> None:
        """An idle worker has nothing to say; what can be read from it is the end of the stream."""
        try:
            if self._socket.recv(1, socket.MSG_PEEK) == b"":
                raise WorkerDied
        except BlockingIOError:
            pass
        except OSError as error:
            raise WorkerDied from error

    async def _receive(self) -> bytes:
        return await self._exactly(int.from_bytes(await self._exactly(4), "big"))

    async def _exactly(self, size: int) -> bytes:
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


class _Nursery:
    """The process that forks the workers; started again when it is gone."""

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._ids = itertools.count()
        self._start()

    def spawn(self, connection: socket.socket) -> int:
        """Have a worker forked that answers on `connection`. Returns at once, with the worker's id."""
        worker_id = next(self._ids)
        order = json.dumps({"op": "spawn", "id": worker_id}).encode()
        try:
            socket.send_fds(self._control, [order], [connection.fileno()])
        except OSError:  # the nursery is gone, and by its death all its workers
            self.close()
            self._start()
            socket.send_fds(self._control, [order], [connection.fileno()])
        return worker_id

    def kill(self, worker_id: int) -> None:
        if worker_id < self._first_id:
            return  # died with an earlier nursery
        try:
            self._control.send(json.dumps({"op": "kill", "id": worker_id}).encode())
        except OSError:
            return  # the nursery is gone, and by its death all its workers

    def close(self) -> None:
        self._control.close()
        self._process.kill()  # its workers follow: they asked the kernel for that
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
