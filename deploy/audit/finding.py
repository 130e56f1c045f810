"""The result of checking one promise. Pure."""

from dataclasses import dataclass

from deploy.audit.evidence import Evidence

NO_LEARNER = "the learner's history is not complete"


@dataclass(frozen=True)
class Finding:
    """Whether one promise holds."""

    promise: str
    evidence: str
    """What was compared, with counts."""
    violation: str | None = None
    """The first violation, with the file and line that shows it; None: the promise holds."""
    unchecked: str | None = None
    """What could not be compared, and why."""

    @property
    def holds(self) -> bool:
        return self.violation is None


def history_gaps(evidence: Evidence) -> str | None:
    """Which roles have no history, and how many lines the others could not write; None: nothing is missing."""
    parts = []
    if evidence.absent:
        parts.append(f"no history of {', '.join(evidence.absent)} in this folder")
    if missed := sum(line.event.missed for line in evidence.lines("gap")):
        parts.append(f"{missed} lines could not be written")
    return "; ".join(parts) or None
