"""Promises about steps, policy versions and checkpoints. Pure."""

from collections.abc import Iterator

from broker.history import Line
from deploy.audit.evidence import Evidence
from deploy.audit.finding import NO_LEARNER, Finding
from deploy.audit.lineage import lineage_violations


def trained_once(evidence: Evidence) -> Finding:
    """No group is trained in two steps of one lineage, and a replayed step gets the same groups again."""
    lines = [line for h in evidence.histories if h.role.startswith("learner") for line in h.lines]
    incarnations = sum(line.event.what == "start" for line in lines)
    steps = sum(line.event.what == "commit" for line in lines)
    return Finding(
        "trained once",
        f"{steps} commits in {incarnations} incarnations of the learner",
        next(lineage_violations(lines, forced_lag=evidence.bounds.forced_lag), None)
        if evidence.has_whole_learner
        else None,
        None if evidence.has_whole_learner else NO_LEARNER,
    )


def versions(evidence: Evidence) -> Finding:
    """Policy versions never decrease within an incarnation, and every version in use was announced."""
    lines = list(evidence.lines("announce", "hold", "put"))
    announced = {line.event.version for line in evidence.lines("announce")} | {0}

    def violations() -> Iterator[str]:
        newest: dict[str, Line] = {}
        for line in lines:
            event = line.event
            if event.what == "put":
                continue
            before = newest.get(event.incarnation)
            assert event.version is not None
            if before and event.version < (before.event.version or 0):
                was = before.event.version
                yield f"{event.incarnation} went back from version {was} to {event.version} ({line.place})"
            newest[event.incarnation] = line
        if evidence.has_whole_learner:
            for line in lines:
                for version in line.event.versions or (line.event.version,):
                    if version not in announced:
                        yield f"version {version} was never announced ({line.event.what}, {line.place})"

    unchecked = None if evidence.has_whole_learner else f"which versions were announced: {NO_LEARNER}"
    return Finding("versions", f"{len(lines)} lines that name a version", next(violations(), None), unchecked)


def lag(evidence: Evidence) -> Finding:
    """No step trains a group whose oldest token has a lag above `learner.max_lag`."""
    puts = {line.event.group_id: line for line in evidence.on_this_server("put")}
    bound, largest, checked, total = evidence.bounds.max_lag, 0, 0, 0
    bound_text = "learner.max_lag is not set" if bound is None else f"learner.max_lag is {bound}"
    violation = None
    for line in evidence.on_this_server("batch"):
        for group_id in line.event.group_ids:
            total += 1
            if group_id not in puts:
                continue
            checked += 1
            put = puts[group_id]
            group_lag = (line.event.step or 0) - 1 - (put.event.versions or (0, 0))[0]
            largest = max(largest, group_lag)
            if bound is not None and group_lag > bound and violation is None:
                where = f"{line.place}, {put.place}"
                violation = f"step {line.event.step} got group {group_id} with lag {group_lag}, {bound_text} ({where})"
    unchecked = f"{total - checked} groups without a put in a history" if checked < total else None
    return Finding("lag", f"{checked} groups in steps, largest lag {largest}; {bound_text}", violation, unchecked)


def checkpoints(evidence: Evidence) -> Finding:
    """Every checkpoint on disk has the manifest that its learner recorded."""
    written = {line.event.step: line for line in evidence.lines("checkpoint")}

    def violations() -> Iterator[str]:
        for saved in evidence.checkpoints:
            line = written.get(saved.step)
            if line and line.event.sha256 != saved.sha256:
                was = line.event.sha256
                yield f"{saved.name} has manifest {saved.sha256[:12]}, but {was} was written ({line.place})"

    unrecorded = [saved.name for saved in evidence.checkpoints if saved.step not in written]
    names = ", ".join(saved.name for saved in evidence.checkpoints) or "none"
    unchecked = f"{', '.join(unrecorded)}: the learner died before it recorded the write" if unrecorded else None
    return Finding("checkpoints", f"on disk: {names}", next(violations(), None), unchecked)
