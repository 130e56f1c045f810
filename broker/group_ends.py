"""What became of every group, by group id, and of every rollout, by what it looked like.

`publish` notes a group's rollouts in `written`. The script that counts the group's end notes the end in `ended` or
`failures`, and moves the rollouts into the counts of `fates`. So what is said here of groups and rollouts and what the
counters of the balance say is the same at any moment, and of a group that ended a byte is kept.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import redis

from broker.keys import Keys
from broker.records import RolloutGroup

TRAINED, REPLACED, STALE, IN_FLIGHT = "trained", "replaced", "stale", "in_flight"
FILTERED, FAILED = "filtered.", "failed."
"""What precedes the reason."""
UNREADABLE = "unreadable"
"""The reason of failed groups that were written."""
_TRUNCATED, _UNVERIFIED = "t", "v"
_ROLLOUT = re.compile(rf"(\d+)({_TRUNCATED}?)({_UNVERIFIED}?)")


@dataclass(frozen=True)
class RolloutFate:
    """One rollout that was written, as far as its fate may depend on it, and that fate."""

    bucket: str
    arm: str
    end: str
    """Of its group, as its counter is called: `trained`, `filtered.REASON`, `replaced`, `stale`, `failed.unreadable`;
    or `in_flight`."""
    num_tokens: int
    """Two significant digits of its length."""
    truncated: bool = False
    """Cut by the token budget (finish_reason `length`)."""
    verifier_failed: bool = False
    """It has no reward: it carries no loss, even in a group that is trained."""


@dataclass(frozen=True)
class Fates:
    """All groups of a run at one moment."""

    ends: tuple[str, ...]
    """Of every group that was issued, by group id from 0 on: as in `RolloutFate`, and `failed.REASON`."""
    rollouts: Mapping[RolloutFate, int]
    """How many there are of everything that was written."""
    unwritten: tuple[int, ...]
    """Group ids of the groups of which nothing was written, so far or ever."""
    counted: Mapping[str, int]
    """End -> groups, by the counters of the balance."""
    num_published: int
    """Rollouts, by their counter."""

    def problem(self) -> str | None:
        """Why no table can be made of the notes, in a sentence; None: they say what the counters say."""
        noted = Counter(end for end in self.ends if end != IN_FLIGHT)
        for end in sorted(noted.keys() | self.counted.keys()):
            if noted[end] != self.counted.get(end, 0):
                return (
                    f"{self.counted.get(end, 0)} groups are counted as {end}, but {noted[end]} are noted as such "
                    "one by one"
                )
        if (num_noted := sum(self.rollouts.values())) != self.num_published:
            return f"{self.num_published} rollouts were published, but it is noted of {num_noted} what became of them"
        return None


def outline(group: RolloutGroup) -> str:
    """Bucket, arm and the rollouts: `hard guided 810 16000t 33v`; t truncated, v no verdict.

    Lengths are in tokens, rounded to two significant digits: a run of any length has so many different ones that all of
    them can be counted.
    """
    words = [
        f"{round(rollout.num_tokens, 2 - len(str(rollout.num_tokens)))}"
        f"{_TRUNCATED if rollout.finish_reason == 'length' else ''}"
        f"{_UNVERIFIED if rollout.reward is None else ''}"
        for rollout in group.policy_rollouts
    ]
    return " ".join([group.bucket, group.arm, *words])


def read_fates(client: redis.Redis, keys: Keys) -> Fates:
    """All fates, read in one transaction."""
    with client.pipeline(transaction=True) as pipe:
        pipe.get(keys.ended)
        for key in (keys.ended_codes, keys.failures, keys.written, keys.fates, keys.counters):
            pipe.hgetall(key)
        ended, *hashes = pipe.execute()
    codes, failures, written, fates, counters = (_text(cast(dict[bytes, bytes], part)) for part in hashes)
    known = ends_by_group_id(ended, codes, failures)
    ends = tuple(known.get(group_id, IN_FLIGHT) for group_id in range(int(counters.get("issued", 0))))
    rollouts = Counter({_rollout(*field.split(" ")): int(count) for field, count in fates.items()})
    for outlined in written.values():
        bucket, arm, *words = outlined.split(" ")
        rollouts.update(_rollout(bucket, arm, IN_FLIGHT, word) for word in words)
    return Fates(
        ends=ends,
        rollouts=rollouts,
        unwritten=tuple(n for n, end in enumerate(ends) if _is_unwritten(end) and str(n) not in written),
        counted={name: int(count) for name, count in counters.items() if _is_end(name)},
        num_published=int(counters.get("rollouts", 0)),
    )


def ends_by_group_id(ended: bytes | None, codes: Mapping[str, str], failures: Mapping[str, str]) -> dict[int, str]:
    """Group id -> end of every group that has ended: what `ended`, `ended:codes` and `failures` say together."""
    names = {int(code): name for name, code in codes.items()}
    failed = {int(group_id): FAILED + reason for group_id, reason in failures.items()}
    return failed | {group_id: names[code] for group_id, code in enumerate(ended or b"") if code}


def _is_unwritten(end: str) -> bool:
    return end == IN_FLIGHT or (end.startswith(FAILED) and end != FAILED + UNREADABLE)


def _rollout(bucket: str, arm: str, end: str, word: str) -> RolloutFate:
    match = _ROLLOUT.fullmatch(word)
    assert match, f"{word!r} is no rollout of `outline`"
    return RolloutFate(bucket, arm, end, int(match[1]), truncated=bool(match[2]), verifier_failed=bool(match[3]))


def _is_end(counter: str) -> bool:
    return counter in (TRAINED, REPLACED, STALE) or counter.startswith((FILTERED, FAILED))


def _text(pairs: dict[bytes, bytes]) -> dict[str, str]:
    return {field.decode(): value.decode() for field, value in pairs.items()}
