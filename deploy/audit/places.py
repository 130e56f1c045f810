"""Where every group is, by all that is known. Pure."""

from collections import defaultdict
from dataclasses import dataclass

from deploy.audit.evidence import Evidence

TRAINED, TAKEN, RING, STREAM, LEASED, REISSUE = "trained", "taken", "ring", "stream", "leased", "reissue"
IN_FLIGHT = (TAKEN, RING, STREAM, LEASED, REISSUE)


@dataclass(frozen=True)
class Place:
    """A place of one group: an end, or where it is in flight."""

    kind: str
    """One of the names above, or an end: `filtered.REASON`, `replaced`, `stale`, `failed.REASON`."""
    step: int | None
    """Of a batch."""
    source: str
    """Who says so."""

    def __str__(self) -> str:
        step = "" if self.step is None else f" in step {self.step}"
        return f"{self.kind}{step} ({self.source})"


def places_of(evidence: Evidence) -> dict[int, list[Place]]:
    """Ordinal -> its places; in a sound run every issued ordinal has exactly one.

    A step's batch is named by the learner's history, again when it is replayed, and by Redis until a checkpoint covers
    it: all that is one place.
    """
    books = evidence.books
    found: dict[int, list[Place]] = defaultdict(list)
    for ended in books.ended:
        if ended.ordinal is not None:
            found[ended.ordinal].append(Place(ended.end, None, ended.place))
    in_flight = {RING: books.ring, STREAM: books.stream, LEASED: books.leased, REISSUE: books.reissue}
    for kind, ordinals in in_flight.items():
        for ordinal in ordinals:
            if ordinal is not None:
                found[ordinal].append(Place(kind, None, f"Redis, {kind}"))
    for (step, ordinal), source in _batches(evidence).items():
        found[ordinal].append(Place(TRAINED if step <= books.committed else TAKEN, step, source))
    return dict(found)


def _batches(evidence: Evidence) -> dict[tuple[int, int], str]:
    """(step, ordinal) -> who named it first."""
    named: dict[tuple[int, int], str] = {}
    for line in evidence.here("batch"):
        assert line.event.step is not None
        for ordinal in line.event.ordinals:
            named.setdefault((line.event.step, ordinal), line.place)
    for step, ordinals in evidence.books.batches.items():
        for ordinal in ordinals:
            named.setdefault((step, ordinal), f"Redis, batches {step}-0")
    return named
