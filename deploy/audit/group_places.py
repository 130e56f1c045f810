"""The places of every group, from all evidence. Pure."""

from collections import defaultdict
from dataclasses import dataclass

from broker.group_outcomes import TRAINED
from deploy.audit.evidence import Evidence

TAKEN, RING, STREAM, LEASED, REISSUE = "taken", "ring", "stream", "leased", "reissue"
IN_FLIGHT = (TAKEN, RING, STREAM, LEASED, REISSUE)


@dataclass(frozen=True)
class Place:
    """An outcome of a group, or where it is in flight."""

    kind: str
    """One of `IN_FLIGHT`, or an outcome: `trained`, `filtered.REASON`, `replaced`, `stale`, `failed.REASON`."""
    step: int | None
    """The optimizer step of its batch, if it is in one."""
    source: str
    """The file and line, or the part of Redis, that names it."""

    def __str__(self) -> str:
        step = "" if self.step is None else f" in step {self.step}"
        return f"{self.kind}{step} ({self.source})"


def places_of(evidence: Evidence) -> dict[int, list[Place]]:
    """Group id -> its places. In a correct run every issued group id has exactly one.

    A trained group is named in Redis, in the learner's history (again when its step is replayed) and in the log of
    batches until a checkpoint covers it; together these are one place.
    """
    locations = evidence.locations
    places: dict[int, list[Place]] = defaultdict(list)
    batches = _batches(evidence)
    in_steps = {group_id for step, group_id in batches if step <= locations.committed}
    for group_id, outcome in locations.ended.items():
        if outcome != TRAINED or group_id not in in_steps:
            places[group_id].append(Place(outcome, None, "Redis, ended"))
    published = tuple(group_id for group_id in locations.stream if group_id is not None)
    in_flight = {RING: locations.ring, STREAM: published, LEASED: locations.leased, REISSUE: locations.reissue}
    for kind, group_ids in in_flight.items():
        for group_id in group_ids:
            places[group_id].append(Place(kind, None, f"Redis, {kind}"))
    for (step, group_id), source in batches.items():
        places[group_id].append(Place(TRAINED if step <= locations.committed else TAKEN, step, source))
    return dict(places)


def _batches(evidence: Evidence) -> dict[tuple[int, int], str]:
    """(step, group id) of every known batch -> the first source that names it."""
    sources: dict[tuple[int, int], str] = {}
    for line in evidence.on_this_server("batch"):
        assert line.event.step is not None
        for group_id in line.event.group_ids:
            sources.setdefault((line.event.step, group_id), line.place)
    for step, group_ids in evidence.locations.batches.items():
        for group_id in group_ids:
            sources.setdefault((step, group_id), f"Redis, batches {step}-0")
    return sources
