"""What became of every group, by ordinal, and what its rollouts looked like.

`publish` notes a group's rollouts in `written`, and the script that counts its end notes the end in `ended` or
`failures`. So what is said here of single groups and what the counters of the balance say is the same at any moment.
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import cast

import redis

from broker.keys import Keys
from broker.records import RolloutGroup

TRAINED, REPLACED, STALE, IN_FLIGHT = "trained", "replaced", "stale", "in_flight"
FILTERED, FAILED = "filtered.", "failed."
"""What precedes the reason."""
_TRUNCATED, _UNVERIFIED = "t", "v"
_ROLLOUT = re.compile(rf"(\d+)({_TRUNCATED}?)({_UNVERIFIED}?)")


@dataclass(frozen=True)
class RolloutOutline:
    """One rollout, as far as its fate may depend on it."""

    num_tokens: int
    truncated: bool
    """Cut by the token budget (finish_reason `length`)."""
    verifier_failed: bool
    """It has no reward: it carries no loss, even in a group that is trained."""


@dataclass(frozen=True)
class GroupFate:
    """One group that was issued."""

    ordinal: int
    end: str
    """As its counter is called: `trained`, `filtered.REASON`, `replaced`, `stale`, `failed.REASON`; or `in_flight`."""
    drawn_as: tuple[str, str] | None = None
    """(bucket, arm); None, as there are no rollouts, when nothing was written."""
    rollouts: tuple[RolloutOutline, ...] = ()


@dataclass(frozen=True)
class Fates:
    """All groups of a run at one moment."""

    groups: tuple[GroupFate, ...]
    """By ordinal, from 0 on; every group that was issued."""
    counted: dict[str, int]
    """End -> groups, by the counters of the balance."""
    unknown: int = 0
    """Published groups of which an older version noted nothing."""

    def problem(self) -> str | None:
        """Why no table can be made of the notes, in a sentence; None: they say of every group what the counters say."""
        if self.unknown:
            return f"an older version began this run and noted nothing of {self.unknown} groups"
        noted = Counter(group.end for group in self.groups if group.end != IN_FLIGHT)
        for end in sorted(noted.keys() | self.counted.keys()):
            if noted[end] != self.counted.get(end, 0):
                return (
                    f"{self.counted.get(end, 0)} groups are counted as {end}, but {noted[end]} are noted as such "
                    "one by one"
                )
        return None


def outline(group: RolloutGroup) -> str:
    """Bucket, arm and the rollouts: `hard guided 812 16384t 33v`, lengths in tokens, t truncated, v no verdict."""
    words = [
        f"{completion.num_tokens}"
        f"{_TRUNCATED if completion.finish_reason == 'length' else ''}"
        f"{_UNVERIFIED if completion.reward is None else ''}"
        for completion in group.rollouts
    ]
    return " ".join([group.bucket, group.arm, *words])


def read_fates(client: redis.Redis, keys: Keys) -> Fates:
    """All fates, read in one transaction."""
    with client.pipeline(transaction=True) as pipe:
        for key in (keys.written, keys.ended, keys.failures, keys.counters):
            pipe.hgetall(key)
        written, ended, failures, counters = (_text(cast(dict[bytes, bytes], part)) for part in pipe.execute())
    ends = {ordinal: FAILED + reason for ordinal, reason in failures.items()} | ended
    return Fates(
        groups=tuple(
            _fate(ordinal, ends.get(str(ordinal), IN_FLIGHT), written.get(str(ordinal)))
            for ordinal in range(int(counters.get("issued", 0)))
        ),
        counted={name: int(count) for name, count in counters.items() if _is_end(name)},
        unknown=int(counters.get("published", 0)) - len(written),
    )


def _fate(ordinal: int, end: str, outlined: str | None) -> GroupFate:
    if outlined is None:
        return GroupFate(ordinal, end)
    bucket, arm, *words = outlined.split(" ")
    return GroupFate(ordinal, end, (bucket, arm), tuple(_rollout(word) for word in words))


def _rollout(word: str) -> RolloutOutline:
    match = _ROLLOUT.fullmatch(word)
    assert match, f"{word!r} is no rollout of `outline`"
    return RolloutOutline(int(match[1]), truncated=bool(match[2]), verifier_failed=bool(match[3]))


def _is_end(counter: str) -> bool:
    return counter in (TRAINED, REPLACED, STALE) or counter.startswith((FILTERED, FAILED))


def _text(pairs: dict[bytes, bytes]) -> dict[str, str]:
    return {field.decode(): value.decode() for field, value in pairs.items()}
