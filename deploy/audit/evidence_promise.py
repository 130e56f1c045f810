"""The promise that the other promises rest on: the histories record what Redis counted. Pure.

A line is missing when a role dies between an operation and its line, when the reply of an operation was lost, and when
the disk was full. More than these account for is missing evidence: a promise that was checked on what is left proves
nothing.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from broker.group_outcomes import FAILED, FILTERED
from deploy.audit.evidence import Evidence
from deploy.audit.finding import Finding, history_gaps

LOST_REPLIES = 0.2
"""Share of the operations of a preprocessor that may have no line because their reply was lost. A repeated operation of
an actor or a learner is recognised, and has its line."""
_WITHOUT_ACTOR = (f"{FAILED}attempts", f"{FAILED}unreadable")
"""Failures that no actor counts."""


@dataclass(frozen=True)
class _Count:
    """Operations of one kind."""

    what: str
    room: str
    """`actor`, `preprocess` or `learner`."""
    counted: int
    """By Redis, before the histories were read."""
    written: int
    """Different ones with a line."""
    per_death: int
    """How many may have no line because an incarnation died."""


def recorded(evidence: Evidence) -> Finding:
    """Every operation that Redis counted has its line, but for those that a death or a lost reply explains."""
    counts = _counts(evidence)
    starts = Counter(line.event.role.rpartition("-")[0] for line in evidence.on_this_server("start"))
    gaps: Counter[str] = Counter()
    for line in evidence.lines("gap"):
        gaps[line.event.role.rpartition("-")[0]] += line.event.missed

    def violations() -> Iterator[str]:
        for count in counts:
            missing = count.counted - count.written
            allowed = max(1, starts[count.room]) * count.per_death + gaps[count.room]
            if count.room == "preprocess":
                allowed += round(LOST_REPLIES * count.counted)
            if missing > allowed:
                absent = [role for role in evidence.absent if role.startswith(count.room)]
                why = f"; no history of {', '.join(absent)} is in this folder" if absent else ""
                yield f"{missing} of {count.counted} {count.what} have no line in a history of {count.room}{why}"
        if evidence.before.taken and not evidence.occupancy:
            yield "steps were taken, but there is no report of a preprocessor"

    total, written = sum(count.counted for count in counts), sum(min(count.counted, count.written) for count in counts)
    return Finding(
        "recorded", f"{written} of {total} operations have a line", next(violations(), None), history_gaps(evidence)
    )


def _counts(evidence: Evidence) -> list[_Count]:
    before = evidence.before
    counters = before.counters
    failed = sum(n for name, n in counters.items() if name.startswith(FAILED) and name not in _WITHOUT_ACTOR)
    filtered = sum(n for name, n in counters.items() if name.startswith(FILTERED))
    in_flight = evidence.bounds.actor_groups
    return [
        _Count("publications", "actor", counters.get("published", 0), _groups(evidence, "publish"), in_flight),
        _Count("failures", "actor", failed, _groups(evidence, "fail"), in_flight),
        _Count("groups in the ring", "preprocess", counters.get("admitted", 0), _groups(evidence, "put"), 1),
        _Count("filtered groups", "preprocess", filtered, _groups(evidence, "drop"), 1),
        _Count("batches", "learner", before.taken - before.skipped, _steps(evidence, "batch"), 1),
        _Count("commits", "learner", before.committed - before.skipped, _steps(evidence, "commit"), 1),
    ]


def _groups(evidence: Evidence, what: str) -> int:
    return len({line.event.group_id for line in evidence.on_this_server(what)})


def _steps(evidence: Evidence, what: str) -> int:
    return len({line.event.step for line in evidence.on_this_server(what)})
