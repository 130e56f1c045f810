"""What asking has brought and cost, counted from attempts: those of a log and new ones alike."""

from collections import Counter

from actors.problems.oracle.attempts import Attempt
from conf.schema import OracleSettings


class Tally:
    """Every attempt is one request: an answer under `verdicts`, or a failure under `errors`."""

    def __init__(self) -> None:
        self.asked: set[str] = set()
        """Ids of problems."""
        self.accepted: set[str] = set()
        """Ids of problems."""
        self.verdicts: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.retries = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.without_usage = 0
        """Answers whose tokens the endpoint did not count: tokens and cost are then lower bounds."""

    def count(self, attempt: Attempt) -> None:
        self.asked.add(attempt.id)
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
        """In the currency of the prices, which are for 10^6 tokens."""
        prompt = self.prompt_tokens * settings.prompt_price
        return (prompt + self.completion_tokens * settings.completion_price) / 1e6
