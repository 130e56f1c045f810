"""Problems -> verified solutions.

A problem is asked until a solution's final answer verifies, at most `oracle.max_attempts` times. A request that fails
is repeated after a growing, jittered wait, at most `oracle.retries` times; then the problem is left for another run. So
no problem takes more than max_attempts * (retries + 1) requests, and `oracle.max_failures` failures in a row, over all
problems, end the run: the endpoint is gone.

Every request is in the log of attempts before the next one is made, and what the log holds is not asked again.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from actors.problems.oracle.attempts import Attempt, Rejected
from actors.problems.oracle.cost import Tally
from actors.prompts import oracle_message
from broker.errors import PopeError, UsageError
from broker.records import Problem, Verdict
from conf.schema import OracleSettings


@dataclass(frozen=True)
class Reply:
    """What an endpoint wrote, cleaned: printable characters, newlines and tabs."""

    text: str
    rejected: Rejected | None = None
    """Why the text is no whole answer, if it is none."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class RequestFailed(Exception):
    """A request that may work when it is made again."""

    def __init__(self, kind: str, detail: str | None = None, retry_after_s: float = 0.0) -> None:
        super().__init__(kind)
        self.kind = kind
        """As `Attempt.error`."""
        self.detail = detail
        """What the endpoint said, cleaned and cut."""
        self.retry_after_s = retry_after_s
        """The endpoint asks for this much patience, seconds."""


class EndpointRefused(UsageError):
    """The endpoint says that no such request will ever work: a setting is wrong."""


class EndpointDead(PopeError):
    """Too many failures in a row."""


class Oracle:
    """Asks about problems, `oracle.concurrency` at once, until all are done or `stop` is called."""

    def __init__(
        self,
        settings: OracleSettings,
        *,
        ask: Callable[[str], Awaitable[Reply]],
        judge: Callable[[str, str], Awaitable[Verdict]],
        record: Callable[[Attempt], None],
        earlier: Sequence[Attempt] = (),
    ) -> None:
        """`record` returns when an attempt cannot be lost any more."""
        self._settings = settings
        self._ask, self._judge, self._record = ask, judge, record
        self.solutions: dict[str, str] = {}
        """Problem id -> its accepted solution."""
        self.now, self.in_all = Tally(), Tally()
        """What this run did; and with it all that earlier runs did."""
        self.ended_by: Exception | None = None
        """What ended the run before all problems were done."""
        self._answers: Counter[str] = Counter()
        for attempt in earlier:
            self._keep(attempt)
        self._failures_in_a_row = 0
        self._not_before = 0.0
        """Monotonic seconds; the endpoint asked everyone to wait until then."""
        self._under_way: set[asyncio.Task[Attempt | None]] = set()

    def open(self, problems: Sequence[Problem]) -> list[Problem]:
        """Those that have no accepted solution and attempts left."""
        limit = self._settings.max_attempts
        return [p for p in problems if p.id not in self.solutions and self._answers[p.id] < limit]

    async def solve(self, problems: Sequence[Problem], done: Callable[[], None] = lambda: None) -> None:
        """Returns when every open problem was dealt with, or soon after `stop`; `ended_by` says which.

        `done` hears that a problem came to its end.
        """
        todo = self.open(problems)
        waiting = iter(todo)
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(self._settings.concurrency, len(todo))):
                workers.create_task(self._work(waiting, done))

    def stop(self, reason: Exception) -> None:
        """Give up the requests under way; answers that are there are judged and kept. The first reason counts."""
        if self.ended_by is None:
            self.ended_by = reason
            for request in self._under_way:
                request.cancel()

    async def _work(self, waiting: Iterator[Problem], done: Callable[[], None]) -> None:
        try:
            for problem in waiting:
                await self._solve(problem)
                done()
                if self.ended_by is not None:
                    return
        except asyncio.CancelledError:
            if self.ended_by is None:  # not by `stop`
                raise
        except Exception as error:  # raised again by the caller, once all workers have ended
            self.stop(error)

    async def _solve(self, problem: Problem) -> None:
        for number in range(self._answers[problem.id] + 1, self._settings.max_attempts + 1):
            request = asyncio.create_task(self._request(problem, number))
            self._under_way.add(request)
            try:
                answer = await request
            finally:
                self._under_way.discard(request)
            if answer is None:
                return
            if answer.verdict is None:
                verdict = await self._judge(answer.text or "", problem.answer)
                answer = msgspec.structs.replace(answer, verdict=verdict)
            self._record(answer)
            self._keep(answer)
            self.now.count(answer)
            if problem.id in self.solutions or self.ended_by is not None:
                return

    async def _request(self, problem: Problem, number: int) -> Attempt | None:
        """An answer that is not judged yet; None when the request failed for good."""
        for retry in range(self._settings.retries + 1):
            if (wait_s := self._not_before - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
            start = time.monotonic()
            try:
                reply = await self._ask(oracle_message(problem.statement))
            except RequestFailed as failure:
                wall_s = round(time.monotonic() - start, 3)
                self._failed(failure, Attempt(
                    id=problem.id, attempt=number, retry=retry, wall_s=wall_s, error=failure.kind, detail=failure.detail
                ))  # fmt: skip
                if retry < self._settings.retries:
                    await asyncio.sleep(self._wait_s(retry, failure))
                continue
            self._failures_in_a_row = 0
            return Attempt(
                id=problem.id, attempt=number, retry=retry, wall_s=round(time.monotonic() - start, 3),
                verdict=reply.rejected, text=reply.text,
                prompt_tokens=reply.prompt_tokens, completion_tokens=reply.completion_tokens,
            )  # fmt: skip
        return None

    def _failed(self, failure: RequestFailed, attempt: Attempt) -> None:
        self._record(attempt)
        self._keep(attempt)
        self.now.count(attempt)
        if failure.retry_after_s:  # what holds for one request holds for all
            pause_s = min(failure.retry_after_s, self._settings.max_wait_s)
            self._not_before = max(self._not_before, time.monotonic() + pause_s)
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= self._settings.max_failures:
            self.stop(EndpointDead(
                f"{self._settings.endpoint}: {self._failures_in_a_row} requests in a row failed, the last by "
                f"{failure.kind}; every answer so far is kept: once the endpoint is well, the same command goes on"
            ))  # fmt: skip

    def _wait_s(self, retry: int, failure: RequestFailed) -> float:
        """1, 2, 4, ... seconds, each shortened by up to a half at random so that no two come back together."""
        backoff_s = 2.0 ** min(retry, 30) * random.uniform(0.5, 1.0)
        return min(failure.retry_after_s + backoff_s, self._settings.max_wait_s)

    def _keep(self, attempt: Attempt) -> None:
        self.in_all.count(attempt)
        self._answers[attempt.id] += attempt.verdict is not None
        if attempt.verdict == "correct" and attempt.text is not None:
            self.solutions.setdefault(attempt.id, attempt.text.rpartition("</think>")[2].strip())
