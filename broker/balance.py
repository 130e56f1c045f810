"""The balance of a run: every issued group has one outcome, or is in flight in one place.

    issued = trained + filtered + replaced + stale + failed
             + leased + reissue + stream + ring + taken

`issued` and the first line are counters; the second line is what Redis holds at present. Every script that moves a
group also counts it, atomically, so the equation holds between any two commands and after any crash.
"""

from dataclasses import dataclass

import redis

from broker.keys import Keys
from broker.scripts import Script

_BALANCE = Script("balance")


@dataclass(frozen=True)
class Balance:
    """All groups of a run at one moment; counts are groups unless stated otherwise."""

    issued: int
    trained: int
    filtered: dict[str, int]
    """Reason -> groups dropped before the ring."""
    replaced: int
    """Removed from a full ring."""
    stale: int
    """Older than max_lag when a step took its batch."""
    failed: dict[str, int]
    """Reason -> groups that were never published, or not readable."""
    in_flight: dict[str, int]
    """leased, reissue, stream, ring, taken (taken by the learner and not committed)."""
    trained_samples: int
    ring_samples: int
    committed: int
    """Newest committed step."""
    taken: int
    """Newest taken step."""
    limit: int | None
    """Largest number of groups the feed may issue; None: no limit."""
    totals: dict[str, int]
    """published, rollouts, prompt_tokens, completion_tokens (prompt tokens are counted once per rollout)."""

    @property
    def dropped(self) -> int:
        """Groups that ended untrained; the admission rule of `Feed.claim` credits them back."""
        return sum(self.filtered.values()) + self.replaced + self.stale + sum(self.failed.values())

    @property
    def holds(self) -> bool:
        """Whether the counters account for every issued group."""
        return self.issued == self.trained + self.dropped + sum(self.in_flight.values())

    @property
    def drained(self) -> bool:
        """Whether no further group can reach the ring: all are issued, none is leased, returned or on the stream."""
        upstream = self.in_flight["leased"] + self.in_flight["reissue"] + self.in_flight["stream"]
        return self.limit is not None and self.issued >= self.limit and upstream == 0

    def explain(self) -> str:
        """A table of the groups by outcome, and the equation."""
        in_flight = sum(self.in_flight.values())
        filtered, failed = sum(self.filtered.values()), sum(self.failed.values())
        lines = [
            f"issued   {self.issued:>6} groups" + ("" if self.limit is None else f" of {self.limit}"),
            _line("trained", self.trained, f"{self.trained_samples} samples, steps 1..{self.committed}"),
            _line("filtered", filtered, _parts(self.filtered)),
            _line("replaced", self.replaced, "by newer groups in a full ring"),
            _line("stale", self.stale, "older than max_lag"),
            _line("failed", failed, _parts(self.failed)),
            _line("in flight", in_flight, _parts(self.in_flight)),
        ]
        terms = [self.trained, filtered, self.replaced, self.stale, failed, in_flight]
        verdict = "the balance holds" if self.holds else f"THE BALANCE DOES NOT HOLD, issued is {self.issued}"
        lines.append(" + ".join(str(term) for term in terms) + f" = {sum(terms)}: {verdict}")
        return "\n".join(lines)


def _line(title: str, count: int, detail: str) -> str:
    return f"  {title:<9}{count:>4}" + (f"   {detail}" if count else "")


def _parts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items() if count)


def read_balance(client: redis.Redis, keys: Keys) -> Balance:
    """Reads the balance at one moment, by one read-only script."""
    names = [keys.counters, keys.leases, keys.reissue, keys.rollouts, keys.ring, keys.ring_meta, keys.batches]
    flat, leased, reissue, stream, ring, taken_groups, ring_samples, committed, taken, limit = _BALANCE(
        client, [*names, keys.learner, keys.feed]
    )
    counters = {flat[i].decode(): int(flat[i + 1]) for i in range(0, len(flat), 2)}
    return Balance(
        issued=counters.get("issued", 0),
        trained=counters.get("trained", 0),
        filtered=_by_reason(counters, "filtered."),
        replaced=counters.get("replaced", 0),
        stale=counters.get("stale", 0),
        failed=_by_reason(counters, "failed."),
        in_flight={"leased": leased, "reissue": reissue, "stream": stream, "ring": ring, "taken": taken_groups},
        trained_samples=counters.get("trained_samples", 0),
        ring_samples=ring_samples,
        committed=committed,
        taken=taken,
        limit=None if limit < 0 else limit,
        totals={n: counters.get(n, 0) for n in ("published", "rollouts", "prompt_tokens", "completion_tokens")},
    )


def _by_reason(counters: dict[str, int], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): count for name, count in counters.items() if name.startswith(prefix)}
