"""`pope audit`: the balance of a run, and one finding for each promise and each outcome."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from broker.balance import Balance
from broker.reports import GroupEnd, LearnerStep
from deploy.audit.evidence import gather
from deploy.audit.finding import Finding
from deploy.audit.outcomes import outcomes
from deploy.audit.promises import check
from deploy.store.run_view import RunView


@dataclass(frozen=True)
class Audit:
    """One run at one moment."""

    balance: Balance
    findings: list[Finding]
    outcomes: list[Finding]
    """What the run achieved."""

    @property
    def violation(self) -> str | None:
        """The first violation; None when there is none."""
        if not self.balance.holds:
            return "the balance does not hold"
        return next((f"{f.promise}: {f.violation}" for f in self.findings if not f.holds), None)

    @property
    def bad_outcome(self) -> str | None:
        """The first outcome that is bad; None when there is none."""
        return next((f"{f.promise}: {f.violation}" for f in self.outcomes if not f.holds), None)

    def explain(self) -> str:
        """The balance, then one line for each promise and each outcome."""
        return "\n".join(
            [
                self.balance.explain(),
                "promises",
                *(line for finding in self.findings for line in _lines(finding, "holds", "BROKEN")),
                "outcomes",
                *(line for finding in self.outcomes for line in _lines(finding, "good", "BAD")),
            ]
        )


def _lines(finding: Finding, good: str, bad: str) -> Iterator[str]:
    yield f"  {finding.promise:<15}{good if finding.holds else bad:<8}{finding.evidence}"
    if finding.violation:
        yield f"  {'':<15}{'':<8}{finding.violation}"
    if finding.unchecked:
        yield f"  {'':<15}{'':<8}not checked: {finding.unchecked}"


def audit(path: Path, url: str | None = None) -> Audit:
    """Audits a live or finished run; `url` as in `run_redis`.

    Raises UsageError when the run cannot be read, CheckpointError when the manifest of a checkpoint is damaged.
    """
    with RunView(path, url) as run:
        evidence = gather(run)
        balance = run.balance()
        learner, groups = list(run.reports(LearnerStep)), list(run.reports(GroupEnd))
        return Audit(balance, check(evidence), outcomes(run.config, balance, learner, groups))
