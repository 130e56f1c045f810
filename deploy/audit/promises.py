"""What is promised, each as a function of the evidence that finds the first violation. Pure."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from broker.history import Line
from deploy.audit.evidence import Evidence
from deploy.audit.lineage import lineage_violations
from deploy.audit.places import IN_FLIGHT, RING, STREAM, TAKEN, TRAINED, places_of

NO_LEARNER = "no whole history of the learner"


@dataclass(frozen=True)
class Verdict:
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


def judge(evidence: Evidence) -> list[Verdict]:
    """Every promise in turn."""
    return [promise(evidence) for promise in PROMISES]


def one_end(evidence: Evidence) -> Verdict:
    """Every issued group ended once, or is in flight; the counters count exactly those."""
    books, places = evidence.books, places_of(evidence)
    kinds = Counter(place.kind for found in places.values() for place in found)
    nowhere = [ordinal for ordinal in range(books.issued) if ordinal not in places]
    # Without the learner's word the batches that a checkpoint covers are known by their number only.
    forgotten = 0 if evidence.learner_is_known else books.counters.get(TRAINED, 0) - kinds[TRAINED]

    def violations() -> Iterator[str]:
        for ordinal, found in sorted(places.items()):
            if ordinal >= books.issued:
                yield f"group {ordinal} was never issued, and it is {found[0]}"
            if len(found) > 1:
                yield f"group {ordinal} is {found[0]} and {found[1]}"
        for ended in books.ended:
            if ended.ordinal is None:
                yield f"an entry that no actor published ended as {ended.end} ({ended.place})"
        if len(nowhere) > forgotten:
            yield f"group {nowhere[0]} was issued and is nowhere, {len(nowhere)} in all"
        counted = {name: count for name, count in books.counters.items() if _is_dropped(name)}
        for name in sorted({*counted, *filter(_is_dropped, kinds)}):
            if counted.get(name, 0) != kinds[name]:
                yield f"counter {name} is {counted.get(name, 0)}, and {kinds[name]} groups ended so"
        if books.counters.get(TRAINED, 0) != kinds[TRAINED] + forgotten:
            yield f"counter trained is {books.counters.get(TRAINED, 0)}, and {kinds[TRAINED]} groups were trained"

    dropped = sum(count for kind, count in kinds.items() if _is_dropped(kind))
    flying = sum(kinds[kind] for kind in IN_FLIGHT)
    return Verdict(
        "one end",
        f"{books.issued} groups: {kinds[TRAINED] + forgotten} trained, {dropped} dropped, {flying} in flight",
        next(violations(), None),
        f"{forgotten} trained groups by their number only: {NO_LEARNER}" if forgotten else None,
    )


def acknowledged(evidence: Evidence) -> Verdict:
    """What Redis told a role is what Redis holds: no acknowledged deed is lost, and none was done twice."""
    books, places = evidence.books, places_of(evidence)
    lines = list(evidence.here("publish", "fail", "put", "drop", "batch", "commit"))

    def violations() -> Iterator[str]:
        done: dict[tuple[str, int], Line] = {}
        for line in lines:
            event = line.event
            if event.step is not None:
                newest = books.taken if event.what == "batch" else books.committed
                if event.step > newest:
                    yield f"{event.what} of step {event.step} ({line.place}) is lost: Redis is at step {newest}"
                continue
            assert event.ordinal is not None
            if before := done.get((event.what, event.ordinal)):
                yield f"{event.what} of group {event.ordinal} was done twice ({before.place} and {line.place})"
            done[event.what, event.ordinal] = line
            for place in places.get(event.ordinal, []):
                if not _may_follow(line, place.kind):
                    yield f"{event.what} of group {event.ordinal} ({line.place}) is lost: the group is {place}"

    return Verdict("acknowledged", f"{len(lines)} deeds of the roles", next(violations(), None), _missing(evidence))


def trained_once(evidence: Evidence) -> Verdict:
    """No group is trained in two steps of one lineage; a replayed step gets its groups again."""
    lines = [line for h in evidence.histories if h.role.startswith("learner") for line in h.lines]
    lives = sum(line.event.what == "start" for line in lines)
    steps = sum(line.event.what == "commit" for line in lines)
    return Verdict(
        "trained once",
        f"{steps} commits in {lives} lives of the learner",
        next(lineage_violations(lines), None) if evidence.learner_is_known else None,
        None if evidence.learner_is_known else NO_LEARNER,
    )


def versions(evidence: Evidence) -> Verdict:
    """Weight versions never go back in one life; engines hold, and tokens name, only versions that were announced."""
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
    return Verdict("versions", f"{len(lines)} times a version was named", next(violations(), None), unchecked)


def lag(evidence: Evidence) -> Verdict:
    """A step trains no group with a token older than `learner.max_lag`."""
    put = {line.event.ordinal: line for line in evidence.here("put")}
    bound, oldest, checked, total = evidence.bounds.max_lag, 0, 0, 0
    told = "no bound is set" if bound is None else f"learner.max_lag is {bound}"
    violation = None
    for line in evidence.here("batch"):
        for ordinal in line.event.ordinals:
            total += 1
            if ordinal not in put:
                continue
            checked += 1
            version = (put[ordinal].event.versions or (0, 0))[0]
            age = (line.event.step or 0) - 1 - version
            oldest = max(oldest, age)
            if bound is not None and age > bound and violation is None:
                where = f"{line.place}, {put[ordinal].place}"
                violation = f"step {line.event.step} got group {ordinal}, {age} steps old, {told} ({where})"
    unknown = f"{total - checked} groups whose put no history tells" if checked < total else None
    return Verdict("lag", f"{checked} groups in steps, the oldest {oldest} steps old; {told}", violation, unknown)


def bounded(evidence: Evidence) -> Verdict:
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
    return Verdict("bounded", told, next(violations(), None))


def checkpoints(evidence: Evidence) -> Verdict:
    """A checkpoint on the disk is the one its learner wrote."""
    told = {line.event.step: line for line in evidence.lines("checkpoint")}

    def violations() -> Iterator[str]:
        for saved in evidence.saved:
            line = told.get(saved.step)
            if line and line.event.sha256 != saved.sha256:
                yield f"{saved.name} has manifest {saved.sha256[:12]}, written was {line.event.sha256} ({line.place})"

    untold = [saved.name for saved in evidence.saved if saved.step not in told]
    names = ", ".join(saved.name for saved in evidence.saved) or "none"
    unchecked = f"{', '.join(untold)}: the learner was ended before it told" if untold else None
    return Verdict("checkpoints", f"kept: {names}", next(violations(), None), unchecked)


def readable(evidence: Evidence) -> Verdict:
    """Histories hold whole lines; only the end of a life may be torn."""
    damaged = [place for history in evidence.histories for place in history.damaged]
    count = sum(len(history.lines) for history in evidence.histories)
    violation = f"{damaged[0]} is no event, {len(damaged)} in all" if damaged else None
    return Verdict("histories", f"{count} lines of {len(evidence.histories)} roles", violation, _missing(evidence))


PROMISES: tuple[Callable[[Evidence], Verdict], ...] = (
    readable, one_end, acknowledged, trained_once, versions, lag, bounded, checkpoints,
)  # fmt: skip


def _missing(evidence: Evidence) -> str | None:
    """What the histories leave out by their own account."""
    parts = []
    if evidence.absent:
        parts.append(f"no history of {', '.join(evidence.absent)} in this folder")
    if missed := sum(line.event.missed for line in evidence.lines("gap")):
        parts.append(f"{missed} lines could not be written")
    return "; ".join(parts) or None


def _is_dropped(kind: str) -> bool:
    return kind in ("replaced", "stale") or kind.startswith(("filtered.", "failed."))


def _may_follow(line: Line, kind: str) -> bool:
    """Whether a group may be there once this was done with it."""
    event = line.event
    beyond_the_ring = (RING, TAKEN, TRAINED, "replaced", "stale")
    match event.what:
        case "publish":
            return kind in (*beyond_the_ring, STREAM, "failed.unreadable") or kind.startswith("filtered.")
        case "put":
            return kind in beyond_the_ring
        case "drop":
            return kind == f"filtered.{event.reason}"
        case "fail":
            return kind == f"failed.{event.reason}"
        case _:
            raise AssertionError(event.what)
