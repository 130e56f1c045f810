"""Promises about groups: each ends once, and what Redis acknowledged is not lost. Pure."""

from collections import Counter
from collections.abc import Iterator

from broker.group_outcomes import FAILED, FILTERED, REPLACED, STALE, TRAINED
from broker.history import Line
from deploy.audit.evidence import Evidence
from deploy.audit.finding import Finding, history_gaps
from deploy.audit.group_places import IN_FLIGHT, RING, STREAM, TAKEN, places_of


def one_end(evidence: Evidence) -> Finding:
    """Every issued group has one outcome or is in flight in one place, and the counters agree."""
    locations, places = evidence.locations, places_of(evidence)
    kinds = Counter(place.kind for of_group in places.values() for place in of_group)

    def violations() -> Iterator[str]:
        for group_id, of_group in sorted(places.items()):
            if group_id >= locations.issued:
                yield f"group {group_id} was never issued, but it is {of_group[0]}"
            if len(of_group) > 1:
                yield f"group {group_id} is {of_group[0]} and {of_group[1]}"
            if evidence.has_whole_learner and of_group[0].kind == TRAINED and of_group[0].step is None:
                yield f"group {group_id} is {of_group[0]}, but in no step of the learner's history"
        if None in locations.stream:
            yield "the rollout stream holds an entry that no actor published"
        lost = [group_id for group_id in range(locations.issued) if group_id not in places]
        if lost:
            yield f"group {lost[0]} was issued and is lost, {len(lost)} in all"
        counted = {name: count for name, count in locations.counters.items() if _is_outcome(name)}
        for name in sorted({*counted, *filter(_is_outcome, kinds)}):
            if counted.get(name, 0) != kinds[name]:
                yield f"counter {name} is {counted.get(name, 0)}, but {kinds[name]} groups have this outcome"

    in_flight = sum(kinds[kind] for kind in IN_FLIGHT)
    dropped = kinds.total() - kinds[TRAINED] - in_flight
    return Finding(
        "one end",
        f"{locations.issued} groups: {kinds[TRAINED]} trained, {dropped} dropped, {in_flight} in flight",
        next(violations(), None),
    )


def acknowledged(evidence: Evidence) -> Finding:
    """Every operation that Redis acknowledged to a role is in Redis, once."""
    locations, places = evidence.locations, places_of(evidence)
    lines = list(evidence.on_this_server("publish", "fail", "put", "drop", "batch", "commit"))

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

    violation = next(violations(), None)
    return Finding("acknowledged", f"{len(lines)} operations of the roles", violation, history_gaps(evidence))


def _is_outcome(kind: str) -> bool:
    return kind in (TRAINED, REPLACED, STALE) or kind.startswith((FILTERED, FAILED))


def _may_follow(line: Line, kind: str) -> bool:
    """Whether a group may be in a place of this kind after the operation."""
    event = line.event
    from_the_ring_on = (RING, TAKEN, TRAINED, REPLACED, STALE)
    match event.what:
        case "publish":
            return kind in (*from_the_ring_on, STREAM, f"{FAILED}unreadable") or kind.startswith(FILTERED)
        case "put":
            return kind in from_the_ring_on
        case "drop":
            return kind == f"{FILTERED}{event.reason}"
        case "fail":
            return kind == f"{FAILED}{event.reason}"
        case _:
            raise AssertionError(event.what)
