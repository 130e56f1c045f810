"""The feed: issues group ids and their leases.

A group id stands for one group (problem, arm). The arm is a pure function of the settings that the actors compute. So
is the problem, unless choices are made during training and recorded (`assignments.py`). A claim leases the next
group id. The lease ends when its group is published or failed, when it expires, or when the driver releases it. Claim
tokens are `OWNER/N`: N counts the claims of that owner, and OWNER names one incarnation of an actor, so that a
restarted actor is not mistaken for its predecessor.
"""

import re
from collections.abc import Callable, Sequence
from typing import cast

import redis

from broker.errors import FeedExhausted
from broker.group_outcomes import summarize_group
from broker.keys import Keys
from broker.records import RolloutGroup, encode
from broker.reports import WAIT_INPUT, WAIT_LAG, WAIT_ROOM
from broker.scripts import Script

_CLAIM, _RENEW, _PUBLISH = Script("claim"), Script("renew"), Script("publish")
_FAIL, _RECLAIM = Script("fail"), Script("reclaim")
_NOTHING_EVER = -2
_REFUSALS = {-1: WAIT_INPUT, _NOTHING_EVER: WAIT_INPUT, -3: WAIT_ROOM, -4: WAIT_LAG}
"""Answer of a claim -> what the actor waits for (`broker/reports.py`)."""
REASON = re.compile(r"[a-z][a-z0-9_]{0,31}")
"""A reason in the name of a counter: `failed.REASON`, `filtered.REASON`."""


class Feed:
    """Group ids and their leases. Every method is one script and idempotent."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys

    def open(self, limit: int | None) -> None:
        """Sets the largest number of groups that may be issued; None: no limit. A resumed run may raise it.

        Leases granted before this call expire at their deadlines, however long ago `reclaim` was called last: their
        holders are gone.
        """
        self._client.hset(self._keys.feed, "limit", -1 if limit is None else limit)
        self._client.hdel(self._keys.feed, "looked_ms")

    def claim(
        self,
        token: str,
        *,
        held_version: int,
        batch_groups: int,
        max_lag: int | None,
        lease_s: float,
        high_water: int,
        refused: Callable[[str], None] = lambda reason: None,
    ) -> int | None:
        """Leases a group id for `lease_s` seconds; None when none may be issued at present.

        `refused`: called with what the actor waits for when no group is issued: `WAIT_LAG`, `WAIT_ROOM` (of the rollout
        stream), or `WAIT_INPUT` when every group under the limit is leased or was issued.

        Admission (only when `max_lag` is set): a group may be issued if step `held_version + 1 + max_lag` can still
        train it, that is while issued - dropped < batch_groups * (held_version + 1 + max_lag). `dropped` are the
        groups that ended untrained; without this credit, filtering would starve the learner. `Ring.take` keeps the
        place: it waits for the groups that no later step can train.
        No new claim succeeds while the rollout stream holds `high_water` groups or more.
        Raises `FeedExhausted` when the limit is reached and neither a lease nor a returned group id is left.
        """
        keys = self._keys
        lease_names = [keys.feed, keys.leases, keys.owners, keys.claims, keys.attempts, keys.reissue]
        answer = _CLAIM(
            self._client,
            [*lease_names, keys.counters, keys.rollouts, keys.learner, keys.claimed_versions],
            token,
            held_version,
            batch_groups,
            -1 if max_lag is None else max_lag,
            _milliseconds(lease_s),
            high_water,
        )
        if (reason := _REFUSALS.get(answer)) is not None:
            refused(reason)
        if answer == _NOTHING_EVER:
            raise FeedExhausted("all groups of the feed were issued")
        return None if reason else int(answer)

    def renew(self, group_ids: Sequence[int], owner: str, *, lease_s: float) -> list[int]:
        """Extends the leases of `owner` to `lease_s` seconds from now; returns the group ids it still holds."""
        keys = self._keys
        return list(_RENEW(self._client, [keys.leases, keys.owners], owner, _milliseconds(lease_s), *group_ids))

    def publish(self, group_id: int, token: str, group: RolloutGroup) -> bool:
        """Puts the group on the rollout stream and ends the lease. False: another token holds the lease."""
        if group.group_id != group_id:
            raise ValueError(f"group {group.group_id} published under group id {group_id}")
        keys = self._keys
        num_rollouts = len(group.policy_rollouts)
        lease_names = [keys.leases, keys.owners, keys.claims, keys.attempts, keys.answered]
        published = _PUBLISH(
            self._client,
            [*lease_names, keys.rollouts, keys.counters, keys.written],
            group_id,
            token,
            encode(group),
            num_rollouts,
            group.num_prompt_tokens * num_rollouts,
            group.num_completion_tokens,
            summarize_group(group),
        )
        return bool(published)

    def fail(self, group_id: int, token: str, reason: str) -> bool:
        """Ends the lease and counts the group as `failed.REASON`. False: another token holds the lease."""
        if not REASON.fullmatch(reason):
            raise ValueError(f"reason {reason!r} does not match {REASON.pattern}")
        keys = self._keys
        names = [keys.leases, keys.owners, keys.claims, keys.attempts, keys.answered, keys.counters, keys.failures]
        return bool(_FAIL(self._client, names, group_id, token, reason))

    def release(self, owner: str, *, max_attempts: int | None = None) -> int:
        """Ends every lease of an owner that stopped or died; returns their number.

        With None (an orderly stop) the leases do not count as attempts. With a number, a group leased that many times
        is counted as `failed.attempts`, so that a prompt that crashes its actor is not issued forever.
        """
        assert owner, "an empty owner would release the expired leases"
        return self._end_leases(owner, -1 if max_attempts is None else max_attempts)

    def reclaim(self, *, max_attempts: int) -> int:
        """Ends the expired leases; returns their number.

        Their groups are issued again, or counted as `failed.attempts` after `max_attempts` leases. Each call ages the
        leases by the time since the previous call, at most 5 s.
        """
        return self._end_leases("", max_attempts)

    def failures(self) -> dict[int, str]:
        """Group id -> reason, for the groups counted as failed."""
        pairs = cast(dict[bytes, bytes], self._client.hgetall(self._keys.failures))
        return {int(group_id): reason.decode() for group_id, reason in pairs.items()}

    def _end_leases(self, owner: str, max_attempts: int) -> int:
        keys = self._keys
        names = [keys.leases, keys.owners, keys.claims, keys.attempts, keys.reissue, keys.counters, keys.failures]
        return int(_RECLAIM(self._client, [*names, keys.feed], owner, max_attempts))


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
