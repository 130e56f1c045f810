"""Where every group is, by all that is known. Pure."""

from collections import defaultdict
from dataclasses import dataclass

from broker.group_ends import TRAINED
from deploy.audit.evidence import Evidence

TAKEN, RING, STREAM, LEASED, REISSUE = "taken", "ring", "stream", "leased", "reissue"
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

    A trained group is named by the notes of Redis, by the learner's history (again when its step is replayed) and by
    the batch log until a checkpoint covers it: all that is one place.
    """
    books = evidence.books
    found: dict[int, list[Place]] = defaultdict(list)
    batches = _batches(evidence)
    in_steps = {ordinal for step, ordinal in batches if step <= books.committed}
    for ordinal, end in books.ended.items():
        if end != TRAINED or ordinal not in in_steps:
            found[ordinal].append(Place(end, None, "Redis, ended"))
    published = tuple(ordinal for ordinal in books.stream if ordinal is not None)
    in_flight = {RING: books.ring, STREAM: published, LEASED: books.leased, REISSUE: books.reissue}
    for kind, ordinals in in_flight.items():
        for ordinal in ordinals:
            found[ordinal].append(Place(kind, None, f"Redis, {kind}"))
    for (step, ordinal), source in batches.items():
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
