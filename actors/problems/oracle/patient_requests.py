"""Requests that are made until they are answered: retries, pauses, a bound on failures, and a stop at any time.

A failed request is retried with exponential backoff and jitter, at most `oracle.retries` times; then it is left for
another run. After `oracle.max_failures` consecutive failures, over all requests, the run ends because the endpoint is
considered down.

Every request is recorded before the next one of its problem, and recorded answers are not requested again.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from actors.problems.oracle.attempts import Attempt, UnjudgedReason
from actors.problems.oracle.request_counts import RequestCounts
from broker.errors import PopeError, UsageError
from conf.schema import OracleSettings

Item = TypeVar("Item")


@dataclass(frozen=True)
class Reply:
    """An answer of the endpoint. Its text has only printable characters, newlines and tabs."""

    text: str
    unjudged: UnjudgedReason | None = None
    """Why the answer is not judged, if it is not."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class RequestFailed(Exception):
    """A request failed and may succeed when it is retried."""

    def __init__(self, kind: str, detail: str | None = None, retry_after_s: float = 0.0) -> None:
        super().__init__(kind)
        self.kind = kind
        """As in `Attempt.error`."""
        self.detail = detail
        """The endpoint's error message, cleaned and shortened."""
        self.retry_after_s = retry_after_s
        """Seconds that the endpoint asks the client to wait."""


class EndpointRefused(UsageError):
    """The endpoint refused a request permanently, because a setting is wrong."""


class EndpointDown(PopeError):
    """Too many consecutive requests failed."""


class PatientRequests:
    """Makes requests, `oracle.concurrency` at a time, until all are answered or `stop` is called."""

    def __init__(self, settings: OracleSettings, *, record: Callable[[Attempt], None]) -> None:
        """`record` must return only when the attempt is stored durably."""
        self._settings, self._record = settings, record
        self.this_run, self.all_runs = RequestCounts(), RequestCounts()
        """Counts of this run, and of all runs of the same log."""
        self.stopped_by: Exception | None = None
        """Why the run ended before everything was done; None if it did not."""
        self._failures_in_a_row = 0
        self._not_before = 0.0
        """Monotonic seconds before which no request is made, because the endpoint asked for a pause."""
        self._in_flight: set[asyncio.Task[Attempt | None]] = set()

    def stop(self, reason: Exception) -> None:
        """Cancels the requests in flight. Received answers are still judged and recorded. The first reason is kept."""
        if self.stopped_by is None:
            self.stopped_by = reason
            for request in self._in_flight:
                request.cancel()

    async def _for_each(
        self, items: Iterable[Item], handle: Callable[[Item], Awaitable[None]], on_done: Callable[[], None]
    ) -> None:
        """Handles the items, `oracle.concurrency` at a time; calls `on_done` for each that is done."""
        waiting = iter(items)
        async with asyncio.TaskGroup() as workers:
            for _ in range(self._settings.concurrency):
                workers.create_task(self._work(waiting, handle, on_done))

    async def _work(
        self, waiting: Iterator[Item], handle: Callable[[Item], Awaitable[None]], on_done: Callable[[], None]
    ) -> None:
        try:
            for item in waiting:
                await handle(item)
                on_done()
                if self.stopped_by is not None:
                    return
        except asyncio.CancelledError:
            if self.stopped_by is None:  # cancelled from outside, not by `stop`
                raise
        except Exception as error:  # the caller raises it once all workers have ended
            self.stop(error)

    async def _answer(self, id: str, number: int, ask: Callable[[], Awaitable[Reply]]) -> Attempt | None:
        """The unjudged answer to request `number` of a problem; None when all retries failed. `stop` cancels it."""
        request = asyncio.create_task(self._request(id, number, ask))
        self._in_flight.add(request)
        try:
            return await request
        finally:
            self._in_flight.discard(request)

    async def _request(self, id: str, number: int, ask: Callable[[], Awaitable[Reply]]) -> Attempt | None:
        for retry in range(self._settings.retries + 1):
            if (wait_s := self._not_before - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
            start = time.monotonic()
            try:
                reply = await ask()
            except RequestFailed as failure:
                wall_s = round(time.monotonic() - start, 3)
                self._add_failure(failure, Attempt(
                    id=id, attempt=number, retry=retry, wall_s=wall_s, error=failure.kind, detail=failure.detail
                ))  # fmt: skip
                if retry < self._settings.retries:
                    await asyncio.sleep(self._wait_s(retry, failure))
                continue
            self._failures_in_a_row = 0
            return Attempt(
                id=id, attempt=number, retry=retry, wall_s=round(time.monotonic() - start, 3),
                verdict=reply.unjudged, text=reply.text,
                prompt_tokens=reply.prompt_tokens, completion_tokens=reply.completion_tokens,
            )  # fmt: skip
        return None

    def _keep(self, attempt: Attempt) -> None:
        """Records and counts an attempt of this run."""
        self._record(attempt)
        self._add(attempt)
        self.this_run.add(attempt)

    def _add(self, attempt: Attempt) -> None:
        """Counts an attempt of this run or of an earlier one."""
        self.all_runs.add(attempt)

    def _add_failure(self, failure: RequestFailed, attempt: Attempt) -> None:
        self._keep(attempt)
        if failure.retry_after_s:  # applies to all requests
            pause_s = min(failure.retry_after_s, self._settings.max_wait_s)
            self._not_before = max(self._not_before, time.monotonic() + pause_s)
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= self._settings.max_failures:
            self.stop(EndpointDown(
                f"{self._settings.endpoint}: {self._failures_in_a_row} requests in a row failed, the last with "
                f"{failure.kind}; every answer so far is kept; run the same command when the endpoint works again"
            ))  # fmt: skip

    def _wait_s(self, retry: int, failure: RequestFailed) -> float:
        """Backoff of 1, 2, 4, ... seconds, randomly reduced by up to a half so that retries do not coincide."""
        backoff_s = 2.0 ** min(retry, 30) * random.uniform(0.5, 1.0)
        return min(failure.retry_after_s + backoff_s, self._settings.max_wait_s)
