"""The ring buffer between preprocessing and the learner, and the learner's batch log.

One sample takes one slot; groups enter and leave whole. `put` acknowledges the group on the rollout stream in
the same script that stores it, so a group is in exactly one place at any moment.

A group leaves by `take` (it is assigned to step s permanently), then `commit` (step s is trained). Batches and payloads
remain readable until `trim`, because a learner that resumes from checkpoint c replays c + 1, c + 2, ...
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast

import redis

from broker.connection import Entries
from broker.errors import BrokerError, Fenced, RingFull
from broker.feed import REASON
from broker.keys import PREPROCESS_GROUP, Keys
from broker.ledger import KEPT_OUTCOMES
from broker.records import RolloutGroup, TrainGroup, decode, encode
from broker.scripts import Script

_PUT, _DROP, _TAKE, _COMMIT = Script("put"), Script("drop"), Script("take"), Script("commit")
_ADOPT, _TRIM = Script("adopt"), Script("trim")
_FULL = -1


@dataclass(frozen=True)
class RingGroup:
    """A group in the ring."""

    group_id: int
    arrival: int
    """Number of groups that have entered the ring, this one included."""
    samples: int
    """Slots it takes."""
    oldest_version: int
    arm: str
    problem_id: str


class Ring:
    """The ring of one run. Every method is one script (or one read) and idempotent."""

    def __init__(
        self,
        client: redis.Redis,
        keys: Keys,
        capacity: int,
        when_full: Literal["replace", "wait"] = "replace",
        *,
        incarnation: str = "",
    ) -> None:
        """`incarnation` names the learner that takes and commits with this object; see `admit`."""
        self._client, self._keys, self._incarnation = client, keys, incarnation
        self._capacity, self._when_full = capacity, when_full
        self._outcomes = [keys.ended, keys.ended_codes, keys.written, keys.rollout_outcomes]
        self._ledger = [keys.ledger_attempts, keys.ledger_successes, keys.ledger_first_solve, keys.ledger_outcomes]

    def put(self, entry_id: str, group: TrainGroup, *, step: int) -> bool:
        """Moves a group from the stream into the ring; `step` is the step of its ledger entry.

        False: the entry was acknowledged before, the group arrived before (counted as `duplicates`) or was never issued
        (`unissued`), or it belongs to a step that the learner trained and this server lost. A full ring removes whole
        groups, oldest first, counted as `replaced`; under `wait` it raises `RingFull`, the group stays on the stream.
        """
        keys, rollouts = self._keys, group.rollout_group
        names = [keys.rollouts, keys.counters, keys.payload, keys.forgotten, keys.ring, keys.ring_meta, keys.replaced]
        answer = _PUT(
            self._client,
            [*self._outcomes, *names, *self._ledger],
            PREPROCESS_GROUP,
            entry_id,
            rollouts.group_id,
            encode(group),
            len(rollouts.rollouts),
            rollouts.oldest_version,
            rollouts.arm,
            rollouts.problem_id,
            rollouts.num_judged,
            rollouts.num_successes,
            step,
            KEPT_OUTCOMES,
            self._capacity,
            self._when_full,
        )
        if answer == _FULL:
            raise RingFull(f"the ring of {self._capacity} slots is full")
        return bool(answer)

    def drop(self, entry_id: str, group: RolloutGroup, reason: str, *, step: int) -> bool:
        """Drops a group before the ring, counted as `filtered.REASON`. False: as in `put`."""
        if not REASON.fullmatch(reason):
            raise ValueError(f"reason {reason!r} does not match {REASON.pattern}")
        keys = self._keys
        answer = _DROP(
            self._client,
            [*self._outcomes, keys.rollouts, keys.counters, keys.payload, keys.forgotten, *self._ledger],
            PREPROCESS_GROUP,
            entry_id,
            group.group_id,
            reason,
            len(group.rollouts),
            group.arm,
            group.problem_id,
            group.num_judged,
            group.num_successes,
            step,
            KEPT_OUTCOMES,
        )
        return bool(answer)

    def admit(self, incarnation: str) -> None:
        """Admits this incarnation of the learner: from now on every other one raises `Fenced` when it writes.

        The driver calls it before an incarnation starts. An incarnation that was considered dead may only have been
        stopped or disconnected, and may continue later.
        """
        self._client.hset(self._keys.learner, "admitted", incarnation)

    def require_admitted(self) -> None:
        """Raises `Fenced` when another incarnation of the learner is admitted. For writes outside the ring."""
        admitted = cast(bytes | None, self._client.hget(self._keys.learner, "admitted"))
        if admitted is not None and admitted != self._incarnation.encode():
            raise Fenced(f"{self._incarnation} was replaced: the admitted learner is {admitted.decode()}")

    def take(self, step: int, samples: int, *, max_lag: int | None) -> list[int] | None:
        """The group ids of step `step`: the oldest whole groups of exactly `samples` samples; None: too few yet.

        Step s updates version s - 1, so the lag of a group is s - 1 minus its oldest version. Groups above `max_lag`
        are dropped first, counted as `stale`. Groups that no later step can train go first, and the step waits for
        those that are still being written, unless the ring is full: otherwise quick groups, which are claimed later,
        would take their places, and the slow ones of each policy version would be lost. A repeated call for a step
        returns the same batch.
        Raises `ServerBehind` when the server lost the previous step.
        """
        keys = self._keys
        names = [*self._outcomes, keys.ring, keys.ring_meta, keys.payload, keys.batches, keys.learner, keys.counters]
        bound = -1 if max_lag is None else max_lag
        answer = _TAKE(
            self._client,
            [*names, keys.claimed_versions, keys.leases, keys.rollouts],
            step,
            samples,
            bound,
            self._incarnation,
            self._capacity,
        )
        return None if answer is None else _group_ids(answer)

    def batch(self, step: int) -> list[TrainGroup] | None:
        """The groups of a taken step, in the same order on every rank; None when it was not taken.

        Raises BrokerError when a payload is missing.
        """
        frames = self.frames(step)
        return None if frames is None else [decode(frame, TrainGroup) for frame in frames]

    def frames(self, step: int) -> list[bytes] | None:
        """The groups of `batch`, encoded."""
        entries = cast(Entries, self._client.xrange(self._keys.batches, min=f"{step}-0", max=f"{step}-0"))
        if not entries:
            return None
        group_ids = _group_ids(entries[0][1][b"ordinals"])
        stored = cast(list[bytes | None], self._client.hmget(self._keys.payload, [str(n) for n in group_ids]))
        frames = []
        for group_id, frame in zip(group_ids, stored, strict=True):
            if frame is None:
                raise BrokerError(f"step {step}: the payload of group {group_id} is gone")
            frames.append(frame)
        return frames

    def recorded_steps(self) -> list[int]:
        """The steps whose batches and payloads are kept, ascending."""
        entries = cast(Entries, self._client.xrange(self._keys.batches))
        return [int(entry_id.split(b"-")[0]) for entry_id, _ in entries]

    def commit(self, step: int) -> bool:
        """Counts the batch of `step` as trained. False: it was committed before.

        Raises `ServerBehind` when the server lost the batch.
        """
        keys = self._keys
        names = [*self._outcomes, keys.learner, keys.batches, keys.counters]
        return bool(_COMMIT(self._client, names, step, self._incarnation))

    def adopt(self, step: int, trained: Iterable[int] = ()) -> int:
        """Moves a server that is behind the learner forward to `step`; returns the newest committed step.

        For a resume on a new server, or on one that lost its last second (`broker.fsync: everysec`). `trained` are
        the groups of the steps it may have lost; they are not trained a second time.
        """
        keys = self._keys
        names = [keys.learner, keys.batches, keys.counters, keys.ring, keys.ring_meta, keys.payload, keys.forgotten]
        return int(_ADOPT(self._client, [*self._outcomes, *names], step, self._incarnation, *trained))

    def trim(self, step: int) -> None:
        """Removes the batches up to `step` and their payloads; a durable checkpoint covers them."""
        _TRIM(self._client, [self._keys.batches, self._keys.payload, self._keys.learner], step, self._incarnation)

    def committed(self) -> int:
        """The newest trained step; 0 before the first."""
        return int(self._client.hget(self._keys.learner, "committed") or 0)

    def groups(self) -> list[RingGroup]:
        """The groups in the ring, oldest first."""
        with self._client.pipeline(transaction=True) as pipe:
            pipe.zrange(self._keys.ring, 0, -1, withscores=True)
            pipe.hgetall(self._keys.ring_meta)
            arrivals, meta = pipe.execute()
        return [_ring_group(group_id, int(arrival), meta[group_id]) for group_id, arrival in arrivals]

    def occupancy(self) -> int:
        """Slots in use, in samples."""
        values = cast(list[bytes], self._client.hvals(self._keys.ring_meta))
        return sum(int(value.split(b" ", 1)[0]) for value in values)


def _ring_group(group_id: bytes, arrival: int, value: bytes) -> RingGroup:
    """`8 41 guided chain-0003`: samples, oldest version, arm, problem; only the last may contain a space."""
    samples, version, arm, problem_id = value.decode().split(" ", 3)
    return RingGroup(int(group_id), arrival, int(samples), int(version), arm, problem_id)


def _group_ids(joined: bytes) -> list[int]:
    return [int(part) for part in joined.split()]
