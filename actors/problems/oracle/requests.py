"""Requests solutions of problems until they are verified.

A solution is requested until its final answer is correct, at most `oracle.max_attempts` times per problem. A problem
therefore takes at most max_attempts * (retries + 1) requests (`patient_requests.py`).
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from actors.problems.oracle.attempts import Attempt
from actors.problems.oracle.patient_requests import PatientRequests, Reply
from actors.prompts import oracle_message
from actors.verification.thoughts import after_last_thought
from broker.records import Problem, Verdict
from conf.schema import OracleSettings


class Oracle(PatientRequests):
    """Requests solutions until every problem is done or `stop` is called."""

    def __init__(
        self,
        settings: OracleSettings,
        *,
        ask: Callable[[str], Awaitable[Reply]],
        judge: Callable[[str, str], Awaitable[Verdict]],
        record: Callable[[Attempt], None],
        earlier: Sequence[Attempt] = (),
    ) -> None:
        super().__init__(settings, record=record)
        self._ask, self._judge = ask, judge
        self.solutions: dict[str, str] = {}
        """Problem id -> its accepted solution."""
        self._answers: Counter[str] = Counter()
        """Problem id -> answers so far, of all runs."""
        for attempt in earlier:
            self._add(attempt)

    def unsolved(self, problems: Sequence[Problem]) -> list[Problem]:
        """The problems without an accepted solution that have attempts left."""
        limit = self._settings.max_attempts
        return [p for p in problems if p.id not in self.solutions and self._answers[p.id] < limit]

    async def solve(self, problems: Sequence[Problem], on_done: Callable[[], None] = lambda: None) -> None:
        """Requests solutions of the unsolved problems. Returns early after `stop`; then `stopped_by` is set.

        Calls `on_done` for each problem that is done.
        """
        await self._for_each(self.unsolved(problems), self._solve, on_done)

    async def _solve(self, problem: Problem) -> None:
        for number in range(self._answers[problem.id] + 1, self._settings.max_attempts + 1):
            answer = await self._answer(problem.id, number, lambda: self._ask(oracle_message(problem.statement)))
            if answer is None:
                return
            if answer.verdict is None:
                verdict = await self._judge(answer.text or "", problem.answer)
                answer = msgspec.structs.replace(answer, verdict=verdict)
            self._keep(answer)
            if problem.id in self.solutions or self.stopped_by is not None:
                return

    def _add(self, attempt: Attempt) -> None:
        super()._add(attempt)
        self._answers[attempt.id] += attempt.verdict is not None
        if attempt.verdict == "correct" and attempt.text is not None:
            solution = after_last_thought(attempt.text)
            assert solution is not None, "a correct response has ended its thoughts"
            self.solutions.setdefault(attempt.id, solution.strip())
