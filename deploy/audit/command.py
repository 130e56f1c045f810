"""`pope audit`: the balance of a run and what became of each promise."""

from dataclasses import dataclass
from pathlib import Path

from broker.balance import Balance, read_balance
from deploy.audit.evidence import gather
from deploy.audit.finding import Verdict
from deploy.audit.promises import judge
from deploy.store.run_redis import find_run, run_redis


@dataclass(frozen=True)
class Audit:
    """One run at one moment."""

    balance: Balance
    verdicts: list[Verdict]

    @property
    def violation(self) -> str | None:
        """The first one."""
        if not self.balance.holds:
            return "the balance does not hold"
        return next((f"{v.promise}: {v.violation}" for v in self.verdicts if not v.holds), None)

    def explain(self) -> str:
        """The balance, then a line a promise."""
        lines = [self.balance.explain(), "promises"]
        for verdict in self.verdicts:
            lines.append(f"  {verdict.promise:<13}{'holds' if verdict.holds else 'BROKEN':<8}{verdict.evidence}")
            if verdict.violation:
                lines.append(f"  {'':<13}{'':<8}{verdict.violation}")
            if verdict.unchecked:
                lines.append(f"  {'':<13}{'':<8}not checked: {verdict.unchecked}")
        return "\n".join(lines)


def audit(path: Path, url: str | None = None) -> Audit:
    """A live or finished run; `url` as in `run_redis`.

    Raises UsageError when there is no run to read, CheckpointError when the manifest of a checkpoint is damaged.
    """
    folder, config = find_run(path)
    with run_redis(folder, config, url) as (client, keys):
        evidence = gather(folder, config, client, keys)
        return Audit(read_balance(client, keys), judge(evidence))
