"""Which groups were not trained: by reason, bucket and length. Pure.

Filtered groups say so themselves when they end preprocessing. A group that a full ring gave up was counted as kept
before; its entry in the stream `replaced` names it. Stale and failed groups are counted, but leave no entry.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

SHORTEST = 32
"""Tokens: the first class of lengths is 0..32, each further one is twice as long."""


class DropRow(msgspec.Struct, frozen=True):
    """How many groups ended one way."""

    reason: str
    """`kept`, a filter's reason, or `replaced`."""
    bucket: str
    longest: int
    """Mean completion of the group is at most so many tokens, and more than half as many."""
    groups: int


class Drops:
    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, int]] = Counter()
        self._kept: dict[int, tuple[str, int]] = {}
        """Group id -> (bucket, class of lengths)."""

    def add(self, groups: Iterable[Mapping[str, str]], replaced: Iterable[Mapping[str, str]]) -> None:
        """Groups that ended preprocessing, and entries of the stream `replaced`."""
        for report in groups:
            kind = report["bucket"], length_class(int(report["completion_tokens"]) / int(report["rollouts"]))
            self._counts[(report["outcome"], *kind)] += 1
            if report["outcome"] == "kept":
                self._kept[int(report["ordinal"])] = kind
        for entry in replaced:
            # A preprocessor that died between its put and its report leaves a group nobody described.
            kind = self._kept.pop(int(entry["ordinal"]), ("unknown", 0))
            self._counts[("kept", *kind)] -= kind[0] != "unknown"
            self._counts[("replaced", *kind)] += 1

    def rows(self) -> list[DropRow]:
        return [DropRow(*key, groups=count) for key, count in sorted(self._counts.items()) if count]


def length_class(tokens: float) -> int:
    """The longest length of its class: 32, 64, 128, ..."""
    longest = SHORTEST
    while longest < tokens:
        longest *= 2
    return longest
