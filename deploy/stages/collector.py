"""Between a plan and the feed: what the plan wants becomes tasks, what comes back is archived and told to the plan.

A stage has Redis keys of its own, so that its books and those of a training run never mix. What it learned is in its
archive: a stage that was killed is given the same name, replays the archive and asks only for what is missing.
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
from conf.schema import RunConfig
from deploy.store.rollout_archive import RolloutArchive

log = logging.getLogger(__name__)

READ_GROUPS = 64
CONSUMER = "collector"


class Collector:
    """Open it, call `step` until the plan has what it wants, close it."""

    def __init__(self, config: RunConfig, client: Client, plan: SamplingPlan, archive: Path, source: str) -> None:
        """`config.run.name` names the keys; `source` goes into the results."""
        keys = Keys(config.run.name)
        self._retrying = Retrying(config.deploy.dead_after_s)
        self._max_attempts = config.actors.max_attempts
        self._plan = plan
        self._source = source
        self._archive_path = archive
        self._feed = Feed(client, keys)
        self._tasks = Tasks(client, keys)
        self._stream = RolloutStream(client, keys)
        self._ring = Ring(client, keys, capacity=0)
        self._named: list[Task] = []
        """Tasks by group id."""
        self._known: set[Task] = set()
        self._failures: set[int] = set()
        self.num_rollouts = 0
        """Told to the plan so far."""

    def __enter__(self) -> "Collector":
        """Open the archive and replay it to the plan."""
        self._archive = RolloutArchive(self._archive_path)
        self._stream.open()
        self._named = self._tasks.all()
        self._known = set(self._named)
        if not self._named:
            self._feed.open(0)
        self._replay()
        return self

    def __exit__(self, *exception: object) -> None:
        self._archive.close()

    def step(self, block_s: float) -> None:
        """Name what the plan wants now, then wait up to `block_s` for groups and tell it of them.

        A group is archived, then told, and only then taken off the stream. Deliveries an earlier incarnation did not
        finish are taken over at once: there is no other reader.
        """
        self._name_tasks()
        deliveries = self._retrying(
            lambda: self._stream.read(CONSUMER, count=READ_GROUPS, block_s=block_s, claim_idle_s=0.0)
        )
        arrived = [(group, delivery) for delivery in deliveries if (group := self._read(delivery)) is not None]
        for entry in self._archive.add([(group, delivery.frame) for group, delivery in arrived], self._source):
            self._take(entry.group_id)
        for group, delivery in arrived:
            self._retrying(partial(self._end, delivery.entry_id, group))

    def look_for_failures(self) -> None:
        """Issue expired leases again, and tell the plan of tasks whose rollouts will never come."""
        self._retrying(lambda: self._feed.reclaim(max_attempts=self._max_attempts))
        for group_id, reason in sorted(self._retrying(self._feed.failures).items()):
            if group_id < len(self._named) and group_id not in self._failures:
                self._give_up(group_id, reason)

    def _replay(self) -> None:
        """Tell the plan what earlier incarnations found out, in the order of the tasks."""
        failures = self._feed.failures()
        for group_id in sorted({*self._archive.entries, *failures}):
            self._name_tasks()
            if group_id in self._archive.entries:
                self._take(group_id)
            else:
                self._give_up(group_id, failures[group_id])

    def _name_tasks(self) -> None:
        fresh = [task for task in self._plan.tasks() if task not in self._known]
        if fresh:
            self._retrying(lambda: self._tasks.append(len(self._named), fresh))
            self._named += fresh
            self._known.update(fresh)

    def _read(self, delivery: Delivery) -> RolloutGroup | None:
        """The group; None for one nobody can use, whose task is told to the plan as failed."""
        try:
            group = decode(delivery.frame, RolloutGroup)
            if group.group_id >= len(self._named) or self._named[group.group_id].problem_id != group.problem_id:
                raise RecordError(f"group {group.group_id} of {group.problem_id}: no such task")
        except RecordError as error:
            log.error("rollout stream entry %s is a dead letter: %s", delivery.entry_id, error)
            reason = str(error)
            self._retrying(lambda: self._stream.dead_letter(delivery.entry_id, reason))
            return None
        return group

    def _take(self, group_id: int) -> None:
        result = self._archive.entries[group_id].result
        self._plan.record(self._named[group_id], result)
        self.num_rollouts += result.samples

    def _give_up(self, group_id: int, reason: str) -> None:
        self._failures.add(group_id)
        self._plan.fail(self._named[group_id], reason)

    def _end(self, entry_id: str, group: RolloutGroup) -> None:
        self._ring.drop(entry_id, group, "collected", step=group.oldest_version)
