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
    """Group id -> its places; in a sound run every issued group id has exactly one.

    A trained group is named by the notes of Redis, by the learner's history (again when its step is replayed) and by
    the batch log until a checkpoint covers it: all that is one place.
    """
    locations = evidence.locations
    found: dict[int, list[Place]] = defaultdict(list)
    batches = _batches(evidence)
    in_steps = {group_id for step, group_id in batches if step <= locations.committed}
    for group_id, end in locations.ended.items():
        if end != TRAINED or group_id not in in_steps:
            found[group_id].append(Place(end, None, "Redis, ended"))
    published = tuple(group_id for group_id in locations.stream if group_id is not None)
    in_flight = {RING: locations.ring, STREAM: published, LEASED: locations.leased, REISSUE: locations.reissue}
    for kind, group_ids in in_flight.items():
        for group_id in group_ids:
            found[group_id].append(Place(kind, None, f"Redis, {kind}"))
    for (step, group_id), source in batches.items():
        found[group_id].append(Place(TRAINED if step <= locations.committed else TAKEN, step, source))
    return dict(found)


def _batches(evidence: Evidence) -> dict[tuple[int, int], str]:
    """(step, group id) -> who named it first."""
    named: dict[tuple[int, int], str] = {}
    for line in evidence.here("batch"):
        assert line.event.step is not None
        for group_id in line.event.group_ids:
            named.setdefault((line.event.step, group_id), line.place)
    for step, group_ids in evidence.locations.batches.items():
        for group_id in group_ids:
            named.setdefault((step, group_id), f"Redis, batches {step}-0")
    return named
