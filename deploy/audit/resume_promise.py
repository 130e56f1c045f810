"""The promise about a resume: engines, which load the base model again, sample with the learner's weights. Pure."""

import re
from collections.abc import Iterator

from broker.history import Line
from deploy.audit.evidence import Evidence
from deploy.audit.finding import Finding

_SESSION = re.compile(r"@(\d+)\.\d+$")
"""`ROLE@SESSION.RESTARTS`: one command starts all its roles under one session."""


def resumed(evidence: Evidence) -> Finding:
    """No group of a resumed run has a token of weights older than the checkpoint at which it was resumed."""
    begun: dict[str, Line] = {}
    for line in evidence.lines("start"):
        session = _session(line)
        if session and line.event.step is not None:
            lowest = begun.setdefault(session, line)
            begun[session] = line if line.event.step < (lowest.event.step or 0) else lowest
    puts = {line.event.group_id: line for line in evidence.on_this_server("put")}
    published = evidence.on_this_server("publish")
    sampled = [line for line in published if _step(begun, line) and line.event.group_id in puts]

    def violations() -> Iterator[str]:
        for line in sampled:
            put = puts[line.event.group_id]
            oldest = (put.event.versions or (0, 0))[0]
            if oldest < _step(begun, line):
                start = begun[_session(line) or ""]
                yield (
                    f"group {line.event.group_id} was sampled by version {oldest} ({put.place}), but the run was "
                    f"resumed at step {start.event.step} ({start.place})"
                )

    resumes = sum(bool(line.event.step) for line in begun.values())
    return Finding("resumed", f"{resumes} resumes, {len(sampled)} groups sampled after one", next(violations(), None))


def _session(line: Line) -> str | None:
    match = _SESSION.search(line.event.incarnation)
    return match[1] if match else None


def _step(begun: dict[str, Line], line: Line) -> int:
    """The lowest step at which a learner started in the session of a line; 0 for an unknown one."""
    start = begun.get(_session(line) or "")
    return 0 if start is None else start.event.step or 0
