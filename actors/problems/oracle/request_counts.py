"""Counts of requests, answers and tokens, and their cost."""

from collections import Counter

from actors.problems.oracle.attempts import Attempt
from conf.schema import OracleSettings


class RequestCounts:
    """Sums over attempts. Each attempt is one request, counted in `verdicts` (an answer) or in `errors` (a failure)."""

    def __init__(self) -> None:
        self.requested: set[str] = set()
        """Ids of the problems with at least one request."""
        self.accepted: set[str] = set()
        """Ids of the problems with an accepted solution."""
        self.verdicts: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.retries = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.without_usage = 0
        """Answers without token counts. If there are any, tokens and cost are lower bounds."""

    def add(self, attempt: Attempt) -> None:
        self.requested.add(attempt.id)
        self.retries += attempt.retry > 0
        if attempt.error is not None:
            self.errors[attempt.error] += 1
            return
        self.verdicts[str(attempt.verdict)] += 1
        if attempt.verdict == "correct":
            self.accepted.add(attempt.id)
        self.without_usage += attempt.prompt_tokens is None or attempt.completion_tokens is None
        self.prompt_tokens += attempt.prompt_tokens or 0
        self.completion_tokens += attempt.completion_tokens or 0

    @property
    def answers(self) -> int:
        return self.verdicts.total()

    @property
    def requests(self) -> int:
        return self.answers + self.errors.total()

    def cost(self, settings: OracleSettings) -> float:
        """Cost in the currency of the prices, which are per 10^6 tokens."""
        prompt = self.prompt_tokens * settings.prompt_price
        return (prompt + self.completion_tokens * settings.completion_price) / 1e6
