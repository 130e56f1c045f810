"""Requests solutions of problems until they are verified.

A solution is requested until its final answer is correct, at most `oracle.max_attempts` times per problem. A failed
request is retried with exponential backoff and jitter, at most `oracle.retries` times; then the problem is left for
another run. A problem therefore takes at most max_attempts * (retries + 1) requests. After `oracle.max_failures`
consecutive failures, over all problems, the run ends because the endpoint is considered down.

Every request is recorded before the next one of its problem, and recorded answers are not requested again.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from actors.problems.oracle.attempts import Attempt, UnjudgedReason
from actors.problems.oracle.request_counts import RequestCounts
from actors.prompts import oracle_message
from actors.verification.thoughts import after_last_thought
from broker.errors import PopeError, UsageError
from broker.records import Problem, Verdict
from conf.schema import OracleSettings


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


class Oracle:
    """Requests solutions, `oracle.concurrency` at a time, until every problem is done or `stop` is called."""

    def __init__(
        self,
        settings: OracleSettings,
        *,
        ask: Callable[[str], Awaitable[Reply]],
        judge: Callable[[str, str], Awaitable[Verdict]],
        record: Callable[[Attempt], None],
        earlier: Sequence[Attempt] = (),
    ) -> None:
        """`record` must return only when the attempt is stored durably."""
        self._settings = settings
        self._ask, self._judge, self._record = ask, judge, record
        self.solutions: dict[str, str] = {}
        """Problem id -> its accepted solution."""
        self.this_run, self.all_runs = RequestCounts(), RequestCounts()
        """Counts of this run, and of all runs of the same log."""
        self.stopped_by: Exception | None = None
        """Why the run ended before all problems were done; None if it did not."""
        self._answers: Counter[str] = Counter()
        """Problem id -> answers so far, of all runs."""
        for attempt in earlier:
            self._add(attempt)
        self._failures_in_a_row = 0
        self._not_before = 0.0
        """Monotonic seconds before which no request is made, because the endpoint asked for a pause."""
        self._in_flight: set[asyncio.Task[Attempt | None]] = set()

    def unsolved(self, problems: Sequence[Problem]) -> list[Problem]:
        """The problems without an accepted solution that have attempts left."""
        limit = self._settings.max_attempts
        return [p for p in problems if p.id not in self.solutions and self._answers[p.id] < limit]

    async def solve(self, problems: Sequence[Problem], on_done: Callable[[], None] = lambda: None) -> None:
        """Requests solutions of the unsolved problems. Returns early after `stop`; then `stopped_by` is set.

        Calls `on_done` for each problem that is done.
        """
        unsolved = self.unsolved(problems)
        waiting = iter(unsolved)
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(self._settings.concurrency, len(unsolved))):
                workers.create_task(self._work(waiting, on_done))

    def stop(self, reason: Exception) -> None:
        """Cancels the requests in flight. Received answers are still judged and recorded. The first reason is kept."""
        if self.stopped_by is None:
            self.stopped_by = reason
            for request in self._in_flight:
                request.cancel()

    async def _work(self, waiting: Iterator[Problem], on_done: Callable[[], None]) -> None:
        try:
            for problem in waiting:
                await self._solve(problem)
                on_done()
                if self.stopped_by is not None:
                    return
        except asyncio.CancelledError:
            if self.stopped_by is None:  # cancelled from outside, not by `stop`
                raise
        except Exception as error:  # the caller raises it once all workers have ended
            self.stop(error)

    async def _solve(self, problem: Problem) -> None:
        for number in range(self._answers[problem.id] + 1, self._settings.max_attempts + 1):
            request = asyncio.create_task(self._request(problem, number))
            self._in_flight.add(request)
            try:
                answer = await request
            finally:
                self._in_flight.discard(request)
            if answer is None:
                return
            if answer.verdict is None:
                verdict = await self._judge(answer.text or "", problem.answer)
                answer = msgspec.structs.replace(answer, verdict=verdict)
            self._record(answer)
            self._add(answer)
            self.this_run.add(answer)
            if problem.id in self.solutions or self.stopped_by is not None:
                return

    async def _request(self, problem: Problem, number: int) -> Attempt | None:
        """An unjudged answer; None when all retries failed."""
        for retry in range(self._settings.retries + 1):
            if (wait_s := self._not_before - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
            start = time.monotonic()
            try:
                reply = await self._ask(oracle_message(problem.statement))
            except RequestFailed as failure:
                wall_s = round(time.monotonic() - start, 3)
                self._add_failure(failure, Attempt(
                    id=problem.id, attempt=number, retry=retry, wall_s=wall_s, error=failure.kind, detail=failure.detail
                ))  # fmt: skip
                if retry < self._settings.retries:
                    await asyncio.sleep(self._wait_s(retry, failure))
                continue
            self._failures_in_a_row = 0
            return Attempt(
                id=problem.id, attempt=number, retry=retry, wall_s=round(time.monotonic() - start, 3),
                verdict=reply.unjudged, text=reply.text,
                prompt_tokens=reply.prompt_tokens, completion_tokens=reply.completion_tokens,
            )  # fmt: skip
        return None

    def _add_failure(self, failure: RequestFailed, attempt: Attempt) -> None:
        self._record(attempt)
        self._add(attempt)
        self.this_run.add(attempt)
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

    def _add(self, attempt: Attempt) -> None:
        self.all_runs.add(attempt)
        self._answers[attempt.id] += attempt.verdict is not None
        if attempt.verdict == "correct" and attempt.text is not None:
            solution = after_last_thought(attempt.text)
            assert solution is not None, "a correct response has ended its thoughts"
            self.solutions.setdefault(attempt.id, solution.strip())
