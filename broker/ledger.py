"""The ledger: attempts and successes of every problem under every arm."""

from dataclasses import dataclass
from typing import cast

import redis

from broker.keys import Keys

KEPT_OUTCOMES = 16
"""Newest groups of a problem and arm whose results are kept individually."""


@dataclass(frozen=True)
class Outcome:
    """The result of one group."""

    step: int
    """Newest published policy version when it was preprocessed."""
    successes: int
    judged: int
    """Judged rollouts; at least one."""
    group_id: int | None = None
    """None in a ledger of an older version."""


@dataclass(frozen=True)
class LedgerRow:
    """One problem under one arm, over the whole run."""

    problem_id: str
    arm: str
    attempts: int
    """Judged rollouts; those whose verifier failed do not count."""
    successes: int
    first_solve_step: int | None
    """Newest published policy version when its first success was preprocessed; None if never solved."""
    last: tuple[Outcome, ...] = ()
    """Newest groups with a judged rollout, oldest first, at most `KEPT_OUTCOMES`."""

    def solved_within(self, groups: int) -> bool:
        """Whether one of the newest `groups` groups contains a success, among the kept outcomes."""
        return any(outcome.successes for outcome in self.last[-groups:])


class Ledger:
    """Reads the ledger; `Ring.put` and `Ring.drop` write it in the script that moves the group."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys

    def rows(self, *, outcomes: bool = True) -> list[LedgerRow]:
        """All rows, ordered by problem and arm, read in one transaction.

        `outcomes=False` leaves `last` empty, which makes the reply much smaller. It is also empty in a ledger that an
        older version wrote.
        """
        keys = self._keys
        with self._client.pipeline(transaction=True) as pipe:
            for key in (keys.ledger_attempts, keys.ledger_successes, keys.ledger_first_solve):
                pipe.hgetall(key)
            if outcomes:
                pipe.hgetall(keys.ledger_outcomes)
            attempts, successes, first_solve, *rest = pipe.execute()
        last = rest[0] if rest else {}
        rows = []
        for field in sorted(attempts):
            problem_id, arm = field.decode().rsplit("|", 1)
            solved = first_solve.get(field)
            rows.append(
                LedgerRow(
                    problem_id=problem_id,
                    arm=arm,
                    attempts=int(attempts[field]),
                    successes=int(successes[field]),
                    first_solve_step=None if solved is None else int(solved),
                    last=_outcomes(last.get(field, b"")),
                )
            )
        return rows

    def newest_outcomes(self) -> dict[tuple[str, str], tuple[Outcome, ...]]:
        """(problem, arm) -> `LedgerRow.last`, for the rows that have outcomes, read in one call."""
        pairs = cast(dict[bytes, bytes], self._client.hgetall(self._keys.ledger_outcomes))
        newest = {}
        for field, words in pairs.items():
            problem_id, arm = field.decode().rsplit("|", 1)
            newest[problem_id, arm] = _outcomes(words)
        return newest


def _outcomes(words: bytes) -> tuple[Outcome, ...]:
    return tuple(_outcome(word) for word in words.split())


def _outcome(word: bytes) -> Outcome:
    """`41:3/8@57`: at version 41, 3 of 8 judged rollouts of group 57 were correct."""
    result, _, group_id = word.partition(b"@")
    step, _, counts = result.partition(b":")
    successes, _, judged = counts.partition(b"/")
    return Outcome(int(step), int(successes), int(judged), int(group_id) if group_id else None)
