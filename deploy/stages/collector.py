"""The collector of a sampling stage: issues the tasks of its plan, archives the groups that come back, and passes their
results to the plan.

A stage has Redis keys of its own, so its counters and those of a training run stay apart. Its results are in its
archive: a stage that was killed is started under the same name, replays the archive and requests only what is missing.
"""

import logging
from functools import partial
from pathlib import Path

from actors.evaluation.sampling_plan import SamplingPlan
from broker.connection import Client, Retrying
from broker.errors import RecordError
from broker.feed import Feed
from broker.keys import Keys
from broker.records import RolloutGroup, Task, decode
from broker.ring import Ring
from broker.streams import Delivery, RolloutStream
from broker.tasks import Tasks
from deploy.store.rollout_archive import RolloutArchive

log = logging.getLogger(__name__)

READ_GROUPS = 64
CONSUMER = "collector"


class Collector:
    """Open it, call `step` until the plan is done, close it."""

    def __init__(
        self,
        client: Client,
        keys: Keys,
        plan: SamplingPlan,
        archive: Path,
        *,
        source: str,
        max_attempts: int,
        retry_s: float,
    ) -> None:
        """`keys`: those of the stage. `source`: name of the problem set in the results. `max_attempts`: how often a
        group is issued. `retry_s`: how long a call to Redis is repeated while the server cannot be reached."""
        self._retry = Retrying(retry_s)
        self._max_attempts = max_attempts
        self._plan = plan
        self._source = source
        self._archive_path = archive
        self._feed = Feed(client, keys)
        self._tasks = Tasks(client, keys)
        self._stream = RolloutStream(client, keys)
        self._ring = Ring(client, keys, capacity=0)
        self._issued: list[Task] = []
        """Tasks by group id."""
        self._issued_set: set[Task] = set()
        self._failures: set[int] = set()
        self.num_rollouts = 0
        """Rollouts whose results the plan has."""

    def __enter__(self) -> "Collector":
        """Open the archive and replay it to the plan."""
        self._archive = RolloutArchive(self._archive_path)
        self._stream.open()
        self._issued = self._tasks.all()
        self._issued_set = set(self._issued)
        self._feed.open(len(self._issued))
        self._replay()
        return self

    def __exit__(self, *exception: object) -> None:
        self._archive.close()

    def step(self, block_s: float) -> None:
        """Issue the tasks that the plan wants now, then wait up to `block_s` for groups and record their results.

        A group is archived, recorded in the plan, and only then acknowledged. Deliveries left unfinished by an earlier
        incarnation are claimed at once: the stream has no other reader.
        """
        self._issue_tasks()
        deliveries = self._retry(
            lambda: self._stream.read(CONSUMER, count=READ_GROUPS, block_s=block_s, claim_idle_s=0.0)
        )
        arrived = [(group, delivery) for delivery in deliveries if (group := self._read(delivery)) is not None]
        for entry in self._archive.add([(group, delivery.frame) for group, delivery in arrived], self._source):
            self._record(entry.group_id)
        for group, delivery in arrived:
            self._retry(partial(self._acknowledge, delivery.entry_id, group))

    def check_failures(self) -> None:
        """Issue groups with expired leases again, and record tasks that have failed for good."""
        self._retry(lambda: self._feed.reclaim(max_attempts=self._max_attempts))
        for group_id, reason in sorted(self._retry(self._feed.failures).items()):
            if group_id < len(self._issued) and group_id not in self._failures:
                self._record_failure(group_id, reason)

    def _replay(self) -> None:
        """Record the results of earlier incarnations in the plan, in the order of the tasks."""
        failures = self._feed.failures()
        for group_id in sorted({*self._archive.entries, *failures}):
            self._issue_tasks()
            if group_id in self._archive.entries:
                self._record(group_id)
            else:
                self._record_failure(group_id, failures[group_id])

    def _issue_tasks(self) -> None:
        fresh = [task for task in self._plan.tasks() if task not in self._issued_set]
        if fresh:
            self._retry(lambda: self._tasks.append(len(self._issued), fresh))
            self._issued += fresh
            self._issued_set.update(fresh)

    def _read(self, delivery: Delivery) -> RolloutGroup | None:
        """The group; None if it is unusable: it becomes a dead letter, and its task has failed."""
        try:
            group = decode(delivery.frame, RolloutGroup)
            if group.group_id >= len(self._issued) or self._issued[group.group_id].problem_id != group.problem_id:
                raise RecordError(f"group {group.group_id} of {group.problem_id}: no such task")
        except RecordError as error:
            log.error("rollout stream entry %s is a dead letter: %s", delivery.entry_id, error)
            reason = str(error)
            self._retry(lambda: self._stream.dead_letter(delivery.entry_id, reason))
            return None
        return group

    def _record(self, group_id: int) -> None:
        result = self._archive.entries[group_id].result
        self._plan.record(self._issued[group_id], result)
        self.num_rollouts += result.samples

    def _record_failure(self, group_id: int, reason: str) -> None:
        self._failures.add(group_id)
        self._plan.fail(self._issued[group_id], reason)

    def _acknowledge(self, entry_id: str, group: RolloutGroup) -> None:
        self._ring.drop(entry_id, group, "collected", step=group.oldest_version)
