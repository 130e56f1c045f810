"""A queue of requests, and the worker processes that answer them one by one; more are forked while it waits."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

from actors.verification.verifier_workers import DeadlineExceeded, ForkServer, Worker, WorkerDied

Failure = Literal["timeout", "crash"]
"""Why there is no reply: the worker exceeded its deadline, or died."""
REQUESTS_PER_WORKER = 2000
"""Requests after which a worker is replaced, because the caches of sympy grow."""
START_S = 60.0
"""Longest start of a worker, seconds; importing math-verify takes about one."""
START_ATTEMPTS = 3
BACKSTOP_DEADLINES, BACKSTOP_S = 10.0, 20.0
"""A worker that waits without using CPU time is killed after this many deadlines plus this many seconds."""


class VerifierUnavailable(RuntimeError):
    """The pool is closed, or no worker can be started."""


class VerifierLane:
    """`base` workers, and up to `most` while requests wait. Used from one event loop."""

    def __init__(self, fork_server: ForkServer, *, base: int, most: int, deadline_s: float) -> None:
        """`deadline_s`: CPU time of one request."""
        self._fork_server, self._base, self._most, self._deadline_s = fork_server, base, most, deadline_s
        self._closed = False
        self._waiting = 0
        self._workers = {Worker(fork_server) for _ in range(base)}
        self._idle: asyncio.Queue[Worker] = asyncio.Queue()
        for worker in self._workers:
            self._idle.put_nowait(worker)

    async def ask(self, request: Any) -> bytes | Failure:
        """The reply of the next free worker, as JSON, or why there is none. Raises VerifierUnavailable."""
        self._require_open()
        grows = self._idle.empty() and len(self._workers) < self._most
        return await self._ask(self._add_worker() if grows else await self._take(), request)

    async def ask_alone(self, request: Any) -> bytes | Failure:
        """The reply of a new worker while all others of the lane are idle."""
        self._require_open()
        async with self._all_taken():
            return await self._ask(self._add_worker(), request)

    def close(self) -> None:
        """Kills all workers. Requests under way end as `timeout` or `crash`."""
        self._closed = True
        for worker in self._workers:
            worker.close()

    def _require_open(self) -> None:
        if self._closed:
            raise VerifierUnavailable("the verifier pool is closed")

    async def _take(self) -> Worker:
        """The next idle worker."""
        self._waiting += 1
        try:
            return await self._idle.get()
        finally:
            self._waiting -= 1

    def _add_worker(self) -> Worker:
        worker = Worker(self._fork_server)
        self._workers.add(worker)
        return worker

    @asynccontextmanager
    async def _all_taken(self) -> AsyncIterator[None]:
        taken: list[Worker] = []
        try:
            while len(taken) < len(self._workers):
                taken.append(await self._take())
            yield
        finally:
            self._put_back(taken)

    async def _ask(self, worker: Worker, request: Any) -> bytes | Failure:
        """The reply of this worker, which becomes idle afterwards, or is replaced."""
        healthy = False
        try:
            self._require_open()
            worker = await self._started(worker)
            async with asyncio.timeout(BACKSTOP_DEADLINES * self._deadline_s + BACKSTOP_S):
                reply = await worker.ask(request, self._deadline_s)
            healthy = True
            return reply
        except (TimeoutError, DeadlineExceeded):
            return "timeout"
        except WorkerDied:
            return "crash"
        finally:  # also when cancelled: a late reply must not be read as the verdict on the next response
            self._give_back(worker, healthy)

    async def _started(self, worker: Worker) -> Worker:
        """The worker, or one in its place, once it is ready. Raises VerifierUnavailable."""
        for _ in range(START_ATTEMPTS):
            try:
                async with asyncio.timeout(START_S):
                    await worker.start()
                return worker
            except TimeoutError as error:
                raise VerifierUnavailable(f"a verifier process did not start within {START_S:g} s") from error
            except WorkerDied:
                worker = self._replace(worker)
        raise VerifierUnavailable(
            f"{START_ATTEMPTS} verifier processes ended before their first verdict; see their stderr"
        )

    def _give_back(self, worker: Worker, healthy: bool) -> None:
        if not healthy or worker.num_requests >= REQUESTS_PER_WORKER:
            worker = self._replace(worker)
        self._put_back([worker])

    def _put_back(self, workers: Sequence[Worker]) -> None:
        """Makes workers idle. When nothing waits, idle ones above `base` end."""
        for worker in workers:
            self._idle.put_nowait(worker)
        while not self._waiting and len(self._workers) > self._base and not self._idle.empty():
            worker = self._idle.get_nowait()
            self._workers.discard(worker)
            worker.close()

    def _replace(self, worker: Worker) -> Worker:
        """Kills a worker and returns a new one, or the same one if the lane is closed."""
        self._workers.discard(worker)
        worker.close()
        return worker if self._closed else self._add_worker()
