"""Which groups were not trained: by reason, bucket and length. Pure.

The report of a filtered group names the reason. A group that a full ring replaced was reported as kept before; its
entry in the stream `replaced` names it. Stale and failed groups are only counted; they leave no entry.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from broker.reports import KEPT, GroupEnd

SHORTEST = 32
"""Tokens: the first class of lengths is 0..32, each further one ends at twice as many."""


class DropRow(msgspec.Struct, frozen=True):
    """How many groups ended one way."""

    reason: str
    """`kept`, a filter's reason, or `replaced`."""
    bucket: str
    longest: int
    """Mean completion of the group is at most so many tokens, and more than half as many."""
    groups: int


class DroppedGroups:
    """Counts groups by outcome, bucket and length."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, int]] = Counter()
        self._kept: dict[int, tuple[str, int]] = {}
        """Group id -> (bucket, class of lengths)."""

    def add(self, groups: Iterable[GroupEnd], replaced: Iterable[Mapping[str, str]]) -> None:
        """Groups that ended preprocessing, and entries of the stream `replaced`."""
        for group in groups:
            kind: tuple[str, int] = group.bucket, length_class(group.completion_tokens / group.rollouts)
            self._counts[(group.outcome, *kind)] += 1
            if group.kept:
                self._kept[group.group_id] = kind
        for entry in replaced:
            # A preprocessor that died between its put and its report leaves a group without a report.
            kind = self._kept.pop(int(entry["ordinal"]), ("unknown", 0))
            self._counts[(KEPT, *kind)] -= kind[0] != "unknown"
            self._counts[("replaced", *kind)] += 1

    def rows(self) -> list[DropRow]:
        return [DropRow(*key, groups=count) for key, count in sorted(self._counts.items()) if count]


def length_class(tokens: float) -> int:
    """The longest length of its class: 32, 64, 128, ..."""
    longest = SHORTEST
    while longest < tokens:
        longest *= 2
    return longest
