"""`pope audit`: the balance of a run, and one finding for each promise."""

from dataclasses import dataclass
from pathlib import Path

from broker.balance import Balance
from deploy.audit.evidence import gather
from deploy.audit.finding import Finding
from deploy.audit.promises import check
from deploy.store.run_view import RunView


@dataclass(frozen=True)
class Audit:
    """One run at one moment."""

    balance: Balance
    findings: list[Finding]

    @property
    def violation(self) -> str | None:
        """The first violation; None when there is none."""
        if not self.balance.holds:
            return "the balance does not hold"
        return next((f"{f.promise}: {f.violation}" for f in self.findings if not f.holds), None)

    def explain(self) -> str:
        """The balance, then one line for each promise."""
        lines = [self.balance.explain(), "promises"]
        for finding in self.findings:
            lines.append(f"  {finding.promise:<13}{'holds' if finding.holds else 'BROKEN':<8}{finding.evidence}")
            if finding.violation:
                lines.append(f"  {'':<13}{'':<8}{finding.violation}")
            if finding.unchecked:
                lines.append(f"  {'':<13}{'':<8}not checked: {finding.unchecked}")
        return "\n".join(lines)


def audit(path: Path, url: str | None = None) -> Audit:
    """Audits a live or finished run; `url` as in `run_redis`.

    Raises UsageError when the run cannot be read, CheckpointError when the manifest of a checkpoint is damaged.
    """
    with RunView(path, url) as run:
        evidence = gather(run)
        return Audit(run.balance(), check(evidence))
