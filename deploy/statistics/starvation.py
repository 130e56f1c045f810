"""Starvation: rollouts that are lost before training, by bucket, arm and length. Pure.

A pipeline that drops old rollouts mostly drops those that took longest to sample: the longest responses, to the hardest
problems. The table by length shows such a bias.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from broker.group_outcomes import REPLACED, STALE, TRAINED, GroupOutcomes, RolloutOutcome

DECILES = 10


@dataclass(frozen=True)
class StarvationRow:
    """Rollouts of one bucket, arm and length.

    A rollout has the outcome of its group. Truncated rollouts and verifier failures are counted in addition: a rollout
    whose verifier failed carries no loss, even when its group is trained.
    """

    bucket: str
    arm: str
    length_decile: int | None
    """Decile of the lengths of all rollouts of the run, over all arms: 1 (shortest) to 10; None: never published."""
    tokens: tuple[int, int] | None
    """(shortest, longest) rollout of the decile in the whole run, to two significant digits."""
    rollouts: int
    ended: Mapping[str, int]
    """Outcome as in `broker.group_outcomes` -> rollouts; sums to `rollouts`."""
    truncated: int
    verifier_failure: int

    @property
    def lost_to_age(self) -> float | None:
        """Share of replaced and stale rollouts among those trained, replaced or stale; None: there are none."""
        lost = self.ended.get(REPLACED, 0) + self.ended.get(STALE, 0)
        counted = lost + self.ended.get(TRAINED, 0)
        return lost / counted if counted else None


def starvation(
    outcomes: GroupOutcomes, *, group_size: int, bucket_and_arm: Callable[[int], tuple[str, str]]
) -> tuple[StarvationRow, ...]:
    """Rows by bucket, arm and length; rollouts that were never published come last in their arm.

    A group that was never published counts as `group_size` rollouts; `bucket_and_arm` maps its group id to (bucket,
    arm). For every outcome, the rows therefore sum to `group_size` times the groups of the balance.
    """
    lengths: Counter[int] = Counter()
    for rollout, count in outcomes.rollouts.items():
        lengths[rollout.num_tokens] += count
    deciles = LengthDeciles(lengths)
    members: dict[tuple[str, str, int | None], list[tuple[str, RolloutOutcome | None, int]]] = defaultdict(list)
    for group_id in outcomes.unwritten:
        members[*bucket_and_arm(group_id), None].append((outcomes.by_group_id[group_id], None, group_size))
    for rollout, count in outcomes.rollouts.items():
        key = rollout.bucket, rollout.arm, deciles.decile(rollout.num_tokens)
        members[key].append((rollout.group_outcome, rollout, count))
    return tuple(
        _row(bucket, arm, decile, deciles.bounds.get(decile), rollouts)
        for (bucket, arm, decile), rollouts in sorted(members.items(), key=lambda item: _order(*item[0]))
    )


def _row(
    bucket: str,
    arm: str,
    decile: int | None,
    tokens: tuple[int, int] | None,
    rollouts: Sequence[tuple[str, RolloutOutcome | None, int]],
) -> StarvationRow:
    """`rollouts`: (outcome of the group, the rollout or None if never published, count)."""
    ended: Counter[str] = Counter()
    for end, _, count in rollouts:
        ended[end] += count
    return StarvationRow(
        bucket=bucket,
        arm=arm,
        length_decile=decile,
        tokens=tokens,
        rollouts=ended.total(),
        ended=ended,
        truncated=sum(count for _, rollout, count in rollouts if rollout and rollout.truncated),
        verifier_failure=sum(count for _, rollout, count in rollouts if rollout and rollout.verifier_failed),
    )


def _order(bucket: str, arm: str, decile: int | None) -> tuple[str, str, int]:
    return bucket, arm, DECILES + 1 if decile is None else decile


def total(rows: Sequence[StarvationRow]) -> StarvationRow:
    """The sum of the rows, with the bucket and arm of the first."""
    ended: Counter[str] = Counter()
    for row in rows:
        ended.update(row.ended)
    return StarvationRow(
        bucket=rows[0].bucket,
        arm=rows[0].arm,
        length_decile=None,
        tokens=None,
        rollouts=sum(row.rollouts for row in rows),
        ended=ended,
        truncated=sum(row.truncated for row in rows),
        verifier_failure=sum(row.verifier_failure for row in rows),
    )


def explain(rows: Sequence[StarvationRow]) -> str:
    """The shares lost to age of all, of shorter and of the longest rollouts, as one sentence."""
    written = [row for row in rows if row.length_decile is not None]
    deciles = [row.length_decile or 0 for row in written]
    parts = {
        "of all": written,
        "of the shorter half": [row for row, d in zip(written, deciles, strict=True) if d <= DECILES // 2],
        "of the longest decile": [row for row, d in zip(written, deciles, strict=True) if d == max(deciles)],
    }
    lost = {name: total(part).lost_to_age for name, part in parts.items() if part}
    shares = ", ".join(f"{share:.1%} {name}" for name, share in lost.items() if share is not None)
    return f"lost to age (replaced or stale): {shares or 'nothing yet'}"


class LengthDeciles:
    """Deciles of rollout lengths. Equal lengths are in one decile, so deciles may differ in size."""

    def __init__(self, lengths: Mapping[int, int]) -> None:
        """`lengths`: length in tokens -> number of rollouts."""
        ordered = sorted(lengths)
        upto = list(accumulate(lengths[length] for length in ordered))
        ends = [-(-d * upto[-1] // DECILES) for d in range(1, DECILES + 1)] if ordered else []
        self._longest = [ordered[bisect_left(upto, end)] for end in ends]
        self.bounds: dict[int | None, tuple[int, int]] = {}
        """Decile -> (shortest, longest) length in it."""
        for length in ordered:
            shortest, _ = self.bounds.get(self.decile(length), (length, length))
            self.bounds[self.decile(length)] = (shortest, length)

    def decile(self, length: int) -> int:
        """1 to 10. `length` is one of those given to the constructor."""
        return bisect_left(self._longest, length) + 1
