"""The recorded problems of a run that chooses them by earlier results: a list with one entry per group id.

In a run with `problems.sampling=adaptive` the actors append an entry before they sample a group. It is written once, so
a group that is issued again, and everybody who reads the run later, finds the same problem. Entries are kept for the
whole run, because `pope audit` compares them with every group: about 20 bytes and the problem's id each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import redis

from broker.keys import Keys
from broker.scripts import Script

_APPEND = Script("append_assignments")
_PAGE = 10_000
"""Entries of one read, so that one call does not block the server for long."""


@dataclass(frozen=True)
class Choice:
    """The problem of a group. On the wire: "SHARE PROBLEM"."""

    problem_id: str
    share: float
    """As `RolloutGroup.sampling_share`."""

    def encode(self) -> str:
        return f"{self.share} {self.problem_id}"

    @classmethod
    def decode(cls, entry: bytes) -> "Choice":
        share, _, problem_id = entry.decode().partition(" ")
        return cls(problem_id, float(share))


@dataclass(frozen=True)
class Outlook:
    """What a process reads before it appends."""

    choice: Choice | None
    """Of the group it asked for; None: it has none yet."""
    newer: tuple[Choice, ...]
    """The entries from the requested group id on, at most `_PAGE`."""
    complete: bool
    """Whether these are all."""
    unfinished: frozenset[int]
    """Group ids that are leased or returned."""


class Assignments:
    """The recorded choices of one run. Any number of processes append and read."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys

    def all(self) -> list[Choice]:
        """The choices by group id."""
        found: list[Choice] = []
        while page := self._read(len(found)):
            found += page
        return found

    def look(self, group_id: int, start: int) -> Outlook:
        """The choice of a group, at most `_PAGE` choices from group id `start` on, and the unfinished groups."""
        keys = self._keys
        with self._client.pipeline(transaction=False) as pipe:
            pipe.zrange(keys.leases, 0, -1)
            pipe.lrange(keys.reissue, 0, -1)
            pipe.lrange(keys.assignments, start, start + _PAGE - 1)
            pipe.lindex(keys.assignments, group_id)  # last: if there is none, the list above did not hold it either
            leased, reissue, newer, own = pipe.execute()
        return Outlook(
            choice=None if own is None else Choice.decode(own),
            newer=tuple(map(Choice.decode, newer)),
            complete=len(newer) < _PAGE,
            unfinished=frozenset(map(int, [*leased, *reissue])),
        )

    def append(self, known: int, choices: Sequence[Choice]) -> bool:
        """Records the choices of the group ids from `known` on. False: the list did not end there."""
        return bool(_APPEND(self._client, [self._keys.assignments], known, *(choice.encode() for choice in choices)))

    def _read(self, start: int) -> list[Choice]:
        entries = cast(list[bytes], self._client.lrange(self._keys.assignments, start, start + _PAGE - 1))
        return [Choice.decode(entry) for entry in entries]
