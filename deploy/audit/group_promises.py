"""What is promised of every group. Pure."""

from collections import Counter
from collections.abc import Iterator

from broker.group_ends import FAILED, FILTERED, REPLACED, STALE, TRAINED
from broker.history import Line
from deploy.audit.evidence import Evidence
from deploy.audit.finding import Finding, missing
from deploy.audit.group_places import IN_FLIGHT, RING, STREAM, TAKEN, places_of


def one_end(evidence: Evidence) -> Finding:
    """Every issued group ended once, or is in flight; the counters count exactly those."""
    locations, places = evidence.locations, places_of(evidence)
    kinds = Counter(place.kind for found in places.values() for place in found)

    def violations() -> Iterator[str]:
        for group_id, found in sorted(places.items()):
            if group_id >= locations.issued:
                yield f"group {group_id} was never issued, and it is {found[0]}"
            if len(found) > 1:
                yield f"group {group_id} is {found[0]} and {found[1]}"
            if evidence.learner_is_known and found[0].kind == TRAINED and found[0].step is None:
                yield f"group {group_id} is {found[0]}, and in no step of the learner's history"
        if None in locations.stream:
            yield "the rollout stream holds an entry that no actor published"
        nowhere = [group_id for group_id in range(locations.issued) if group_id not in places]
        if nowhere:
            yield f"group {nowhere[0]} was issued and is nowhere, {len(nowhere)} in all"
        counted = {name: count for name, count in locations.counters.items() if _is_end(name)}
        for name in sorted({*counted, *filter(_is_end, kinds)}):
            if counted.get(name, 0) != kinds[name]:
                yield f"counter {name} is {counted.get(name, 0)}, and {kinds[name]} groups ended so"

    flying = sum(kinds[kind] for kind in IN_FLIGHT)
    dropped = kinds.total() - kinds[TRAINED] - flying
    return Finding(
        "one end",
        f"{locations.issued} groups: {kinds[TRAINED]} trained, {dropped} dropped, {flying} in flight",
        next(violations(), None),
    )


def acknowledged(evidence: Evidence) -> Finding:
    """What Redis told a role is what Redis holds: no acknowledged deed is lost, and none was done twice."""
    locations, places = evidence.locations, places_of(evidence)
    lines = list(evidence.here("publish", "fail", "put", "drop", "batch", "commit"))

    def violations() -> Iterator[str]:
        done: dict[tuple[str, int], Line] = {}
        for line in lines:
            event = line.event
            if event.step is not None:
                newest = locations.taken if event.what == "batch" else locations.committed
                if event.step > newest:
                    yield f"{event.what} of step {event.step} ({line.place}) is lost: Redis is at step {newest}"
                continue
            assert event.group_id is not None
            if before := done.get((event.what, event.group_id)):
                yield f"{event.what} of group {event.group_id} was done twice ({before.place} and {line.place})"
            done[event.what, event.group_id] = line
            for place in places.get(event.group_id, []):
                if not _may_follow(line, place.kind):
                    yield f"{event.what} of group {event.group_id} ({line.place}) is lost: the group is {place}"

    return Finding("acknowledged", f"{len(lines)} deeds of the roles", next(violations(), None), missing(evidence))


def _is_end(kind: str) -> bool:
    return kind in (TRAINED, REPLACED, STALE) or kind.startswith((FILTERED, FAILED))


def _may_follow(line: Line, kind: str) -> bool:
    """Whether a group may be there once this was done with it."""
    event = line.event
    beyond_the_ring = (RING, TAKEN, TRAINED, REPLACED, STALE)
    match event.what:
        case "publish":
            return kind in (*beyond_the_ring, STREAM, f"{FAILED}unreadable") or kind.startswith(FILTERED)
        case "put":
            return kind in beyond_the_ring
        case "drop":
            return kind == f"{FILTERED}{event.reason}"
        case "fail":
            return kind == f"{FAILED}{event.reason}"
        case _:
            raise AssertionError(event.what)
