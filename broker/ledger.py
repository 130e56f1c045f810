"""What became of every problem under every arm: the source of solvability and of reward by arm."""

from dataclasses import dataclass

import redis

from broker.keys import Keys


@dataclass(frozen=True)
class LedgerRow:
    """One problem under one arm, over the whole run."""

    problem_id: str
    arm: str
    attempts: int
    """Rollouts that were judged; those whose verifier failed are not in it."""
    successes: int
    first_solve_step: int | None
    """Newest published weight version when its first success was preprocessed; None: never solved."""


class Ledger:
    """Written by `Ring.put` and `Ring.drop` in the script that moves the group; read here."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys

    def rows(self) -> list[LedgerRow]:
        """All rows, ordered by problem and arm, read in one transaction."""
        with self._client.pipeline(transaction=True) as pipe:
            pipe.hgetall(self._keys.ledger_attempts)
            pipe.hgetall(self._keys.ledger_successes)
            pipe.hgetall(self._keys.ledger_first_solve)
            attempts, successes, first_solve = pipe.execute()
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
                )
            )
        return rows
