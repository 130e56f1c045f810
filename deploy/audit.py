"""`pope audit`: the balance of a run, read from its own Redis."""

from dataclasses import dataclass
from pathlib import Path

from broker.balance import Balance, read_balance
from broker.fates import Fates, read_fates
from deploy.run_redis import find_run, run_redis


@dataclass(frozen=True)
class Audit:
    """The books twice: counted, and group by group."""

    balance: Balance
    fates: Fates

    @property
    def holds(self) -> bool:
        """An older version kept no notes of single groups: those are not held against the run."""
        return self.balance.holds and (self.fates.problem() is None or self.fates.unknown > 0)

    def explain(self) -> str:
        """One screen."""
        verdict = self.fates.problem() or "every group is noted where it is counted"
        return f"{self.balance.explain()}\none by one: {verdict}"


def audit(path: Path, url: str | None = None) -> Audit:
    """The books of a live or finished run; `url` as in `run_redis`. Raises UsageError when there are none to read."""
    folder, config = find_run(path)
    with run_redis(folder, config, url) as (client, keys):
        return Audit(read_balance(client, keys), read_fates(client, keys))
