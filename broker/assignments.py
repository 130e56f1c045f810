"""The recorded choices of a run that depend on earlier results: a list with one entry per group id.

In a run with `problems.sampling=adaptive` or a `guidance.length` that changes, the actors append an entry before they
sample a group. It is written once, so a group that is issued again, and everybody who reads the run later, finds the
same problem and the same guidance. An entry also names the results that its choice was the first to use, so the list
alone tells why each choice was made. Entries are kept for the whole run, because `pope audit` compares them with every
group: about 20 bytes and the problem's id each, and about 30 more for a guided group.
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
class GroupResult:
    """The result of an earlier group. On the wire: "GROUP:SUCCESSES/JUDGED"."""

    group_id: int
    successes: int
    judged: int
    """Judged rollouts; at least one."""

    @property
    def solve_rate(self) -> float:
        return self.successes / self.judged

    def encode(self) -> str:
        return f"{self.group_id}:{self.successes}/{self.judged}"

    @classmethod
    def decode(cls, word: str) -> "GroupResult":
        group_id, _, counts = word.partition(":")
        successes, _, judged = counts.partition("/")
        return cls(int(group_id), int(successes), int(judged))


@dataclass(frozen=True)
class GuidanceChoice:
    """The guidance of a guided group. On the wire: "SHARE;CHARS;RESULT,RESULT,..."."""

    share: float
    """Share of the oracle solution before its answer that was asked for, 0 to 1, four digits."""
    chars: int
    """Characters of the solution that are the prefix; 0: the unguided prompt."""
    after: tuple[GroupResult, ...] = ()
    """Results of the problem's guided groups that no earlier choice had used, in the order in which they arrived."""

    def encode(self) -> str:
        return f"{self.share};{self.chars};{','.join(result.encode() for result in self.after)}"

    @classmethod
    def decode(cls, text: str) -> "GuidanceChoice":
        share, chars, after = text.split(";")
        return cls(float(share), int(chars), tuple(map(GroupResult.decode, filter(None, after.split(",")))))


@dataclass(frozen=True)
class Choice:
    """What was chosen for a group. On the wire: "SHARE PROBLEM", or "SHARE;GUIDANCE PROBLEM"."""

    problem_id: str
    share: float
    """As `RolloutGroup.sampling_share`."""
    guidance: GuidanceChoice | None = None
    """None: it is a function of the problem and the arm."""

    def encode(self) -> str:
        guidance = "" if self.guidance is None else f";{self.guidance.encode()}"
        return f"{self.share}{guidance} {self.problem_id}"

    @classmethod
    def decode(cls, entry: bytes) -> "Choice":
        chosen, _, problem_id = entry.decode().partition(" ")
        share, _, guidance = chosen.partition(";")
        return cls(problem_id, float(share), GuidanceChoice.decode(guidance) if guidance else None)


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
