"""The learner's access to the batch log: takes, reads, commits and trims batches (arrow 8). Rank 0 alone asks Redis."""

import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from broker.connection import Retrying
from broker.errors import ServerBehind
from broker.records import TrainGroup, decode
from broker.ring import Ring
from learner.manifest import CheckpointError
from learner.ranks import Ranks

T = TypeVar("T")

log = logging.getLogger(__name__)


class BatchLog:
    """Rank 0 takes, commits and trims batches, and reads them once for all ranks.

    A restarted Redis may have lost its last second of writes. `take` and `commit` then repeat the lost commits
    (`Ring.adopt`) and retry.
    """

    def __init__(self, ring: Ring, retry: Retrying) -> None:
        self._ring, self._retry = ring, retry
        self._trained: dict[int, tuple[int, ...]] = {}
        """Step -> its group ids, for the steps that no kept checkpoint covers."""

    def resume(self, step: int) -> int:
        """Continues at the checkpoint of `step`. Returns the newest committed step, `step` or later.

        Raises CheckpointError when the batches between the two are no longer kept.
        """
        committed = self._retry(lambda: self._ring.adopt(step))
        if step < committed and self._retry(lambda: self._ring.batch(step + 1)) is None:
            raise CheckpointError(
                f"the newest intact checkpoint is of step {step}, but the batches after it are no longer "
                f"kept (trained so far: {committed}); start a new run with model.path set to that checkpoint"
            )
        return committed

    def take(self, step: int, num_samples: int, *, max_lag: int | None) -> bool:
        """Takes the batch of `step`, the same at every call. False: the ring has too few samples within `max_lag`."""
        take = partial(self._ring.take, step, num_samples, max_lag=max_lag)
        return self._repair_and_retry(take, trained_step=step - 1) is not None

    def read(self, step: int, ranks: Ranks) -> list[TrainGroup]:
        """The groups of a batch that rank 0 has taken, in the same order on every rank; a collective."""
        frames = self._retry(lambda: self._ring.frames(step)) if ranks.first else []
        assert frames is not None, "rank 0 took this batch"
        groups = [decode(frame, TrainGroup) for frame in ranks.bytes_from_first(frames)]
        self._trained[step] = tuple(group.rollout_group.group_id for group in groups)
        return groups

    def group_ids(self, step: int) -> tuple[int, ...]:
        """Group ids of a batch that was read and not trimmed."""
        return self._trained[step]

    def commit(self, step: int) -> bool:
        """Counts the batch of `step` as trained. False: it was committed before."""
        return self._repair_and_retry(partial(self._ring.commit, step), trained_step=step)

    def trim(self, step: int) -> None:
        """Removes the batches up to `step`, which a durable checkpoint covers."""
        self._retry(lambda: self._ring.trim(step))
        self._trained = {later: group_ids for later, group_ids in self._trained.items() if later > step}

    def require_admitted(self) -> None:
        """Raises Fenced when another incarnation of the learner was admitted."""
        self._retry(self._ring.require_admitted)

    def _repair_and_retry(self, operation: Callable[[], T], *, trained_step: int) -> T:
        """Runs an operation; if the server is behind, moves it to `trained_step` and runs the operation again."""
        try:
            return self._retry(operation)
        except ServerBehind as error:
            log.warning("%s; committing the steps up to %d again", error, trained_step)
            group_ids = [group_id for batch in self._trained.values() for group_id in batch]
            self._retry(lambda: self._ring.adopt(trained_step, group_ids))
            return self._retry(operation)
