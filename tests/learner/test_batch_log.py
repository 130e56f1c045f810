"""The batch log against a Redis that lost its newest second, without old batches, and on two ranks."""

from collections.abc import Iterable, Sequence

import pytest
import torch

from broker.connection import Retrying
from broker.errors import ServerBehind
from broker.records import TrainGroup, encode
from learner.batch_log import BatchLog
from learner.manifest import CheckpointError
from learner.ranks import Ranks
from tests.learner.tiny import random_groups


class ForgetfulRing:
    """Holds one batch per step from `oldest` on; `step` is the newest committed one, which a test may set back."""

    def __init__(self, *, step: int, oldest: int = 1) -> None:
        self.step, self.oldest = step, oldest
        self.events: list[str] = []

    def adopt(self, step: int, trained: Iterable[int] = ()) -> int:
        self.events.append(f"adopt {step} {sorted(trained)}")
        self.step = max(self.step, step)
        return self.step

    def batch(self, step: int) -> list[TrainGroup] | None:
        return random_groups(2, first_group_id=10 * step) if step >= self.oldest else None

    def frames(self, step: int) -> list[bytes] | None:
        self.events.append(f"read {step}")
        groups = self.batch(step)
        return None if groups is None else [encode(group) for group in groups]

    def take(self, step: int, samples: int, *, max_lag: int | None) -> list[int] | None:
        self.require(step - 1)
        return [10 * step, 10 * step + 1] if samples == 8 else None

    def commit(self, step: int) -> bool:
        self.require(step - 1)
        fresh = self.step < step
        self.step = max(self.step, step)
        return fresh

    def trim(self, step: int) -> None:
        self.events.append(f"trim {step}")

    def require(self, step: int) -> None:
        if self.step < step:
            raise ServerBehind(f"the server knows step {self.step}")


ALONE = Ranks(0, 1, torch.device("cpu"))


class OtherRank(Ranks):
    """Rank 1 of two, which receives what rank 0 sent."""

    def __init__(self, received: list[bytes]) -> None:
        super().__init__(1, 2, torch.device("cpu"))
        self._received = received

    def bytes_from_first(self, parts: Sequence[bytes]) -> list[bytes]:
        assert not parts
        return self._received


def batch_log(ring: ForgetfulRing) -> BatchLog:
    return BatchLog(ring, Retrying(1.0))  # type: ignore[arg-type]


def test_a_server_that_is_behind_gets_the_groups_that_were_trained() -> None:
    ring = ForgetfulRing(step=0)
    batches = batch_log(ring)
    for step in (1, 2):
        assert batches.take(step, 8, max_lag=None)
        assert [group.rollout_group.group_id for group in batches.read(step, ALONE)] == [10 * step, 10 * step + 1]
        assert batches.commit(step)
    ring.step = 1
    assert batches.take(3, 8, max_lag=None)
    assert ring.events == ["read 1", "read 2", "adopt 2 [10, 11, 20, 21]"]
    batches.read(3, ALONE)
    ring.step = 1
    assert not batches.commit(3), "adopting a step counts it"
    assert ring.events[3:] == ["read 3", "adopt 3 [10, 11, 20, 21, 30, 31]"]


def test_forgotten_batches_are_not_sent_to_the_server() -> None:
    ring = ForgetfulRing(step=0)
    batches = batch_log(ring)
    for step in (1, 2):
        batches.read(step, ALONE)
        batches.commit(step)
    batches.trim(1)
    ring.step = 0
    batches.take(3, 8, max_lag=None)
    assert ring.events == ["read 1", "read 2", "trim 1", "adopt 2 [20, 21]"]


def test_only_rank_0_reads_a_batch_from_redis() -> None:
    first, second = ForgetfulRing(step=0), ForgetfulRing(step=0)
    sent = first.frames(1) or []
    batches = batch_log(second)
    assert batches.read(1, OtherRank(sent)) == batch_log(first).read(1, ALONE)
    assert second.events == []
    assert batches.group_ids(1) == (10, 11), "every rank writes them to its history"


def test_too_few_samples_give_no_batch() -> None:
    assert not batch_log(ForgetfulRing(step=0)).take(1, 12, max_lag=None)


def test_batches_since_the_checkpoint_must_be_kept() -> None:
    assert batch_log(ForgetfulRing(step=5, oldest=4)).resume(3) == 5
    assert batch_log(ForgetfulRing(step=5, oldest=6)).resume(5) == 5
    with pytest.raises(CheckpointError, match=r"is of step 3, but .*\(trained so far: 5\); start a new run"):
        batch_log(ForgetfulRing(step=5, oldest=5)).resume(3)
