"""What is promised of every group. Pure."""

from collections import Counter
from collections.abc import Iterator

from broker.history import Line
from deploy.audit.evidence import Evidence
from deploy.audit.places import IN_FLIGHT, RING, STREAM, TAKEN, TRAINED, places_of
from deploy.audit.verdict import NO_LEARNER, Verdict, missing


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

    return Verdict("acknowledged", f"{len(lines)} deeds of the roles", next(violations(), None), missing(evidence))


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
