"""What is promised of steps, policy versions and checkpoints. Pure."""

from collections.abc import Iterator

from broker.history import Line
from deploy.audit.evidence import Evidence
from deploy.audit.finding import NO_LEARNER, Finding
from deploy.audit.lineage import lineage_violations


def trained_once(evidence: Evidence) -> Finding:
    """No group is trained in two steps of one lineage; a replayed step gets its groups again."""
    lines = [line for h in evidence.histories if h.role.startswith("learner") for line in h.lines]
    incarnations = sum(line.event.what == "start" for line in lines)
    steps = sum(line.event.what == "commit" for line in lines)
    return Finding(
        "trained once",
        f"{steps} commits in {incarnations} incarnations of the learner",
        next(lineage_violations(lines), None) if evidence.learner_is_known else None,
        None if evidence.learner_is_known else NO_LEARNER,
    )


def versions(evidence: Evidence) -> Finding:
    """Policy versions never go back in one incarnation; engines hold, and tokens name, announced versions only."""
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
        if evidence.learner_is_known:
            for line in lines:
                for version in line.event.versions or (line.event.version,):
                    if version not in announced:
                        yield f"version {version} was never announced ({line.event.what}, {line.place})"

    unchecked = None if evidence.learner_is_known else f"which versions were announced: {NO_LEARNER}"
    return Finding("versions", f"{len(lines)} times a version was named", next(violations(), None), unchecked)


def lag(evidence: Evidence) -> Finding:
    """A step trains no group with a token older than `learner.max_lag`."""
    put = {line.event.group_id: line for line in evidence.here("put")}
    bound, oldest, checked, total = evidence.bounds.max_lag, 0, 0, 0
    told = "no bound is set" if bound is None else f"learner.max_lag is {bound}"
    violation = None
    for line in evidence.here("batch"):
        for group_id in line.event.group_ids:
            total += 1
            if group_id not in put:
                continue
            checked += 1
            version = (put[group_id].event.versions or (0, 0))[0]
            age = (line.event.step or 0) - 1 - version
            oldest = max(oldest, age)
            if bound is not None and age > bound and violation is None:
                where = f"{line.place}, {put[group_id].place}"
                violation = f"step {line.event.step} got group {group_id}, {age} steps old, {told} ({where})"
    unknown = f"{total - checked} groups whose put no history tells" if checked < total else None
    return Finding("lag", f"{checked} groups in steps, the oldest {oldest} steps old; {told}", violation, unknown)


def checkpoints(evidence: Evidence) -> Finding:
    """A checkpoint on the disk is the one its learner wrote."""
    told = {line.event.step: line for line in evidence.lines("checkpoint")}

    def violations() -> Iterator[str]:
        for saved in evidence.checkpoints:
            line = told.get(saved.step)
            if line and line.event.sha256 != saved.sha256:
                yield f"{saved.name} has manifest {saved.sha256[:12]}, written was {line.event.sha256} ({line.place})"

    untold = [saved.name for saved in evidence.checkpoints if saved.step not in told]
    names = ", ".join(saved.name for saved in evidence.checkpoints) or "none"
    unchecked = f"{', '.join(untold)}: the learner was ended before it told" if untold else None
    return Finding("checkpoints", f"kept: {names}", next(violations(), None), unchecked)
