"""What an audit says of one promise. Pure."""

from dataclasses import dataclass

from deploy.audit.evidence import Evidence

NO_LEARNER = "no whole history of the learner"


@dataclass(frozen=True)
class Finding:
    """What became of one promise."""

    promise: str
    evidence: str
    """What was compared, with numbers."""
    violation: str | None = None
    """The first one: what, and where it stands."""
    unchecked: str | None = None
    """What could not be compared, and why."""

    @property
    def holds(self) -> bool:
        return self.violation is None


def missing(evidence: Evidence) -> str | None:
    """What the histories leave out by their own account."""
    parts = []
    if evidence.absent:
        parts.append(f"no history of {', '.join(evidence.absent)} in this folder")
    if missed := sum(line.event.missed for line in evidence.lines("gap")):
        parts.append(f"{missed} lines could not be written")
    return "; ".join(parts) or None
