"""What is promised, each as a function of the evidence that finds the first violation. Pure."""

from collections.abc import Callable, Iterator

from deploy.audit.evidence import Evidence
from deploy.audit.finding import Finding, missing
from deploy.audit.group_promises import acknowledged, one_end
from deploy.audit.step_promises import checkpoints, lag, trained_once, versions


def judge(evidence: Evidence) -> list[Finding]:
    """Every promise in turn."""
    return [promise(evidence) for promise in PROMISES]


def readable(evidence: Evidence) -> Finding:
    """Histories hold whole lines; only the end of a life may be torn."""
    damaged = [place for history in evidence.histories for place in history.damaged]
    count = sum(len(history.lines) for history in evidence.histories)
    violation = f"{damaged[0]} is no event, {len(damaged)} in all" if damaged else None
    return Finding("histories", f"{count} lines of {len(evidence.histories)} roles", violation, missing(evidence))


def bounded(evidence: Evidence) -> Finding:
    """Ring and rollout stream stay within their bounds: a slow learner slows the actors, nothing grows."""
    bounds, looks = evidence.bounds, evidence.looks

    def violations() -> Iterator[str]:
        for look in looks:
            if look.ring_samples > bounds.ring_samples:
                yield f"the ring held {look.ring_samples} samples, its capacity is {bounds.ring_samples} ({look.place})"
            if look.stream_groups > bounds.stream_groups:
                yield f"the stream held {look.stream_groups} groups, {bounds.stream_groups} may be ({look.place})"

    ring = max((look.ring_samples for look in looks), default=0)
    stream = max((look.stream_groups for look in looks), default=0)
    told = f"in {len(looks)} looks at most {ring}/{bounds.ring_samples} slots, {stream}/{bounds.stream_groups} groups"
    return Finding("bounded", told, next(violations(), None))


PROMISES: tuple[Callable[[Evidence], Finding], ...] = (
    readable, one_end, acknowledged, trained_once, versions, lag, bounded, checkpoints,
)  # fmt: skip
