"""The promises of a run. Each is a function of the evidence that returns a finding. Pure."""

from collections.abc import Callable, Iterator

from deploy.audit.assignment_promise import assigned
from deploy.audit.evidence import Evidence
from deploy.audit.evidence_promise import recorded
from deploy.audit.finding import Finding, history_gaps
from deploy.audit.group_promises import acknowledged, one_end
from deploy.audit.resume_promise import resumed
from deploy.audit.step_promises import checkpoints, lag, trained_once, versions


def check(evidence: Evidence) -> list[Finding]:
    """One finding for each promise."""
    return [promise(evidence) for promise in PROMISES]


def readable(evidence: Evidence) -> Finding:
    """Every line of the histories can be read; only the last line of an incarnation may be cut off."""
    damaged = [place for history in evidence.histories for place in history.damaged]
    count = sum(len(history.lines) for history in evidence.histories)
    violation = f"{damaged[0]} cannot be read, {len(damaged)} in all" if damaged else None
    return Finding("histories", f"{count} lines of {len(evidence.histories)} roles", violation, history_gaps(evidence))


def bounded(evidence: Evidence) -> Finding:
    """Ring and rollout stream never exceed their bounds."""
    bounds, reports = evidence.bounds, evidence.occupancy

    def violations() -> Iterator[str]:
        for report in reports:
            ring, stream = report.ring_samples, report.stream_groups
            if ring > bounds.ring_samples:
                yield f"the ring held {ring} samples, its capacity is {bounds.ring_samples} ({report.place})"
            if stream > bounds.stream_groups:
                yield f"the stream held {stream} groups, its limit is {bounds.stream_groups} ({report.place})"

    ring = max((report.ring_samples for report in reports), default=0)
    stream = max((report.stream_groups for report in reports), default=0)
    fullest = f"at most {ring}/{bounds.ring_samples} slots and {stream}/{bounds.stream_groups} groups"
    return Finding("bounded", f"{fullest} in {len(reports)} reports", next(violations(), None))


PROMISES: tuple[Callable[[Evidence], Finding], ...] = (
    readable, recorded, one_end, acknowledged, assigned, trained_once, versions, resumed, lag, bounded, checkpoints,
)  # fmt: skip
