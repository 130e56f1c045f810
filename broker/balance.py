"""The books of a run: every group that was issued is somewhere, once.

    issued = trained + filtered + replaced + stale + failed
             + leased + reissue + stream + ring + taken

The left side and the first line are counters, the second line is what Redis holds right now. Every script that
moves a group counts it in the same breath, so this holds between any two commands, after any crash.
"""

from dataclasses import dataclass

import redis

from broker.keys import Keys
from broker.scripts import Script

_BALANCE = Script("balance")


@dataclass(frozen=True)
class Balance:
    """One moment of a run, in groups unless said otherwise."""

    issued: int
    trained: int
    filtered: dict[str, int]
    """Reason -> groups that were dropped before the ring."""
    replaced: int
    """Given up by a full ring."""
    stale: int
    """Older than max_lag when a step wanted them."""
    failed: dict[str, int]
    """Reason -> groups whose rollouts never became a readable group."""
    in_flight: dict[str, int]
    """leased, reissue, stream, ring, taken (handed to the learner and not committed)."""
    trained_samples: int
    ring_samples: int
    committed: int
    """Newest trained step."""
    taken: int
    """Newest step that was handed out."""
    limit: int | None
    """Groups the feed may issue in all."""
    totals: dict[str, int]
    """published, rollouts, prompt_tokens, completion_tokens (prompt tokens once for each rollout)."""

    @property
    def dropped(self) -> int:
        """Groups that ended untrained; the feed credits them back."""
        return sum(self.filtered.values()) + self.replaced + self.stale + sum(self.failed.values())

    @property
    def holds(self) -> bool:
        """Whether the books close."""
        return self.issued == self.trained + self.dropped + sum(self.in_flight.values())

    @property
    def drained(self) -> bool:
        """Nothing more will ever reach the ring: the feed issued all it may and nothing is on its way."""
        on_the_way = self.in_flight["leased"] + self.in_flight["reissue"] + self.in_flight["stream"]
        return self.limit is not None and self.issued >= self.limit and on_the_way == 0

    def explain(self) -> str:
        """One screen: where the groups are, and the sum."""
        flying = sum(self.in_flight.values())
        filtered, failed = sum(self.filtered.values()), sum(self.failed.values())
        lines = [
            f"issued   {self.issued:>6} groups" + ("" if self.limit is None else f" of {self.limit}"),
            _line("trained", self.trained, f"{self.trained_samples} samples, steps 1..{self.committed}"),
            _line("filtered", filtered, _parts(self.filtered)),
            _line("replaced", self.replaced, "by newcomers to a full ring"),
            _line("stale", self.stale, "older than max_lag"),
            _line("failed", failed, _parts(self.failed)),
            _line("in flight", flying, _parts(self.in_flight)),
        ]
        terms = [self.trained, filtered, self.replaced, self.stale, failed, flying]
        verdict = "the books close" if self.holds else f"THE BOOKS DO NOT CLOSE, issued is {self.issued}"
        lines.append(" + ".join(str(term) for term in terms) + f" = {sum(terms)}: {verdict}")
        return "\n".join(lines)


def _line(title: str, count: int, detail: str) -> str:
    return f"  {title:<9}{count:>4}" + (f"   {detail}" if count else "")


def _parts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items() if count)


def read_balance(client: redis.Redis, keys: Keys) -> Balance:
    """The balance at one moment, by one read-only script."""
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
