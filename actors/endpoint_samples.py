"""Samples of an evaluated model behind an OpenAI-compatible endpoint: the same number for every problem, each judged.

A sample is one request. A request that fails for good leaves its sample missing; the same command asks for it again.
"""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from actors.evaluation.results import Result
from actors.problems.oracle.attempts import Attempt
from actors.problems.oracle.patient_requests import PatientRequests, Reply
from actors.prompts import unguided_message
from broker.records import Problem, Verdict
from conf.schema import OracleSettings

Sample = tuple[Problem, int]
"""(problem, number of the sample from 1)"""


class EndpointSamples(PatientRequests):
    """Requests samples until every problem has all or `stop` is called."""

    def __init__(
        self,
        settings: OracleSettings,
        num_samples: int,
        *,
        system: str | None,
        ask: Callable[[str, str | None], Awaitable[Reply]],
        judge: Callable[[str, str], Awaitable[Verdict]],
        record: Callable[[Attempt], None],
        earlier: Sequence[Attempt] = (),
    ) -> None:
        """`system`: system message of problems without one of their own."""
        super().__init__(settings, record=record)
        self._num_samples, self._system = num_samples, system
        self._ask, self._judge = ask, judge
        self._answered: dict[str, dict[int, Attempt]] = defaultdict(dict)
        """Problem id -> number of the sample -> its answer."""
        for attempt in earlier:
            self._add(attempt)

    def missing(self, problems: Sequence[Problem]) -> list[Sample]:
        """The samples without an answer."""
        numbers = range(1, self._num_samples + 1)
        return [(problem, n) for problem in problems for n in numbers if n not in self._answered[problem.id]]

    async def sample(self, problems: Sequence[Problem], on_done: Callable[[], None] = lambda: None) -> None:
        """Requests the missing samples. Returns early after `stop`; then `stopped_by` is set.

        Calls `on_done` for each request that is done, answered or not.
        """
        await self._for_each(self.missing(problems), self._sample, on_done)

    def results(self, problems: Sequence[Problem], source: str) -> list[Result]:
        """One result for each problem with an answer. `source`: name of the problem set."""
        answered = ((problem, list(self._answered[problem.id].values())) for problem in problems)
        return [_result(problem, source, answers) for problem, answers in answered if answers]

    async def _sample(self, sample: Sample) -> None:
        problem, number = sample
        message, system = unguided_message(problem.statement), problem.system or self._system
        answer = await self._answer(problem.id, number, lambda: self._ask(message, system))
        if answer is None:
            return
        cut = answer.verdict == "truncated"
        if answer.verdict != "filtered":  # what the endpoint's filter blocked has no text to be judged
            verdict = await self._judge(answer.text or "", problem.answer)
            answer = msgspec.structs.replace(answer, verdict=verdict, cut=cut)
        self._keep(answer)

    def _add(self, attempt: Attempt) -> None:
        super()._add(attempt)
        if attempt.verdict is not None:
            self._answered[attempt.id][attempt.attempt] = attempt


def _result(problem: Problem, source: str, answers: Sequence[Attempt]) -> Result:
    tokens = [answer.completion_tokens or 0 for answer in answers]
    return Result(
        problem_id=problem.id,
        source=source,
        samples=len(answers),
        verdicts=dict(Counter(map(_verdict, answers))),
        truncated=sum(answer.cut for answer in answers),
        completion_tokens=sum(tokens),
        longest_completion_tokens=max(tokens),
        policy_version=0,
        unfinished=sum(answer.cut and _verdict(answer) not in ("correct", "timeout", "crash") for answer in answers),
    )


def _verdict(answer: Attempt) -> Verdict:
    """What a filter blocked is an answer without a box."""
    match answer.verdict:
        case None | "filtered" | "truncated":
            return "no_answer"
        case verdict:
            return verdict
