"""The outcome of every group, by group id, and of every published rollout, by bucket, arm and length.

`publish` writes a summary of a group's rollouts into `written`. The script that counts the outcome of the group also
records it in `ended` or `failures`, and moves the rollouts into the counts of `fates`. These records therefore agree
with the counters of the balance at any moment. An ended group takes one byte.
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
"""Prefixes of an outcome; the reason follows."""
UNREADABLE = "unreadable"
"""The only reason for which a published group counts as failed."""
_TRUNCATED, _UNVERIFIED = "t", "v"
_ROLLOUT = re.compile(rf"(\d+)({_TRUNCATED}?)({_UNVERIFIED}?)")


@dataclass(frozen=True)
class RolloutOutcome:
    """Properties of a published rollout, and the outcome of its group."""

    bucket: str
    arm: str
    group_outcome: str
    """Outcome of the group, named like its counter: `trained`, `filtered.REASON`, `replaced`, `stale` or
    `failed.unreadable`; `in_flight` until then."""
    num_tokens: int
    """Length of the rollout, rounded to two significant digits."""
    truncated: bool = False
    """Cut by the token budget (finish_reason `length`)."""
    verifier_failed: bool = False
    """It has no reward and carries no loss, even in a group that is trained."""


@dataclass(frozen=True)
class GroupOutcomes:
    """The outcomes of all groups of a run at one moment."""

    by_group_id: tuple[str, ...]
    """The outcome of every issued group, indexed by group id; as in `RolloutOutcome`, or `failed.REASON`."""
    rollouts: Mapping[RolloutOutcome, int]
    """Number of published rollouts of each kind."""
    unwritten: tuple[int, ...]
    """Group ids of the groups that are not published yet or failed before publication."""
    counted: Mapping[str, int]
    """Outcome -> groups, as counted by the balance."""
    num_published: int
    """Published rollouts, as counted by the balance."""

    def inconsistency(self) -> str | None:
        """The first contradiction between the records and the counters, as a sentence; None when they agree."""
        recorded = Counter(outcome for outcome in self.by_group_id if outcome != IN_FLIGHT)
        for outcome in sorted(recorded.keys() | self.counted.keys()):
            if recorded[outcome] != self.counted.get(outcome, 0):
                counted = self.counted.get(outcome, 0)
                return f"{counted} groups are counted as {outcome}, but {recorded[outcome]} are recorded"
        if (num_recorded := sum(self.rollouts.values())) != self.num_published:
            return f"{self.num_published} rollouts were published, but the outcome of {num_recorded} is recorded"
        return None


def summarize_group(group: RolloutGroup) -> str:
    """Bucket, arm and one word per rollout: `hard guided 810 16000t 33v`; t: truncated, v: the verifier failed.

    The word begins with the number of tokens, rounded to two significant digits. That bounds the number of different
    words, so that a run of any length can count them all.
    """
    words = [
        f"{round(rollout.num_tokens, 2 - len(str(rollout.num_tokens)))}"
        f"{_TRUNCATED if rollout.finish_reason == 'length' else ''}"
        f"{_UNVERIFIED if rollout.reward is None else ''}"
        for rollout in group.policy_rollouts
    ]
    return " ".join([group.bucket, group.arm, *words])


def read_group_outcomes(client: redis.Redis, keys: Keys) -> GroupOutcomes:
    """The outcomes of all groups, read in one transaction."""
    with client.pipeline(transaction=True) as pipe:
        pipe.get(keys.ended)
        for key in (keys.ended_codes, keys.failures, keys.written, keys.rollout_outcomes, keys.counters):
            pipe.hgetall(key)
        ended, *hashes = pipe.execute()
    codes, failures, written, moved, counters = (_text(cast(dict[bytes, bytes], part)) for part in hashes)
    outcomes = outcomes_by_group_id(ended, codes, failures)
    by_group_id = tuple(outcomes.get(group_id, IN_FLIGHT) for group_id in range(int(counters.get("issued", 0))))
    rollouts = Counter({_rollout(*field.split(" ")): int(count) for field, count in moved.items()})
    for summary in written.values():
        bucket, arm, *words = summary.split(" ")
        rollouts.update(_rollout(bucket, arm, IN_FLIGHT, word) for word in words)
    return GroupOutcomes(
        by_group_id=by_group_id,
        rollouts=rollouts,
        unwritten=tuple(
            n for n, outcome in enumerate(by_group_id) if _is_unwritten(outcome) and str(n) not in written
        ),
        counted={name: int(count) for name, count in counters.items() if _is_outcome(name)},
        num_published=int(counters.get("rollouts", 0)),
    )


def outcomes_by_group_id(ended: bytes | None, codes: Mapping[str, str], failures: Mapping[str, str]) -> dict[int, str]:
    """Group id -> outcome of every group that has ended, from the values of `ended`, `ended:codes` and `failures`."""
    names = {int(code): name for name, code in codes.items()}
    failed = {int(group_id): FAILED + reason for group_id, reason in failures.items()}
    return failed | {group_id: names[code] for group_id, code in enumerate(ended or b"") if code}


def _is_unwritten(outcome: str) -> bool:
    return outcome == IN_FLIGHT or (outcome.startswith(FAILED) and outcome != FAILED + UNREADABLE)


def _rollout(bucket: str, arm: str, outcome: str, word: str) -> RolloutOutcome:
    match = _ROLLOUT.fullmatch(word)
    assert match, f"{word!r} is not a rollout of `summarize_group`"
    return RolloutOutcome(bucket, arm, outcome, int(match[1]), truncated=bool(match[2]), verifier_failed=bool(match[3]))


def _is_outcome(counter: str) -> bool:
    return counter in (TRAINED, REPLACED, STALE) or counter.startswith((FILTERED, FAILED))


def _text(pairs: dict[bytes, bytes]) -> dict[str, str]:
    return {field.decode(): value.decode() for field, value in pairs.items()}
