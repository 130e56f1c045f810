"""A stage of sampling: a plan, the engines, and the feed between them. Mining, prefix search and evaluation run here.

consumes    groups of the stage's rollout stream, failures of its feed
waits for   the engines
unblocked by the plan that is done, the user's signal, or supervision that gives up

A stage has Redis keys of its own, so that its books and those of a training run never mix. What it learned is in its
archive: a stage that was killed is given the same name, replays the archive and asks only for what is missing.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from actors.sampling import SamplingPlan
from broker.connection import Client, with_retries
from broker.errors import PopeError, RecordError
from broker.feed import Feed
from broker.keys import Keys
from broker.metrics import Control
from broker.records import Problem, RolloutGroup, Task, decode
from broker.ring import Ring
from broker.streams import Delivery, RolloutStream
from broker.tasks import Tasks
from conf.schema import RunConfig
from deploy.archive import RolloutArchive
from deploy.fleet import Member
from deploy.interrupts import Interrupts
from deploy.state import RunState
from deploy.watch import Supervisor

T = TypeVar("T")

READ_GROUPS = 64
READ_BLOCK_S = 0.2
LOOK_EVERY_S = 0.5
"""How often roles, leases and failures are looked at."""
CONSUMER = "collector"


class SamplingStage:
    """One stage, from an empty list of tasks, or from where it stood, to a plan that is done."""

    def __init__(
        self,
        name: str,
        plan: SamplingPlan,
        problems: Sequence[Problem],
        *,
        config: RunConfig,
        client: Client,
        actors: Sequence[Member],
        archive: Path,
        source: str,
        advance: Callable[[int], None] = lambda n: None,
    ) -> None:
        """`name` is added to the run's; `source` goes into the results. `advance(n)`: n more problems are done."""
        self._config = _stage_config(config, name, plan.largest_task)
        self._plan = plan
        self._problems = list(problems)
        self._client = client
        self._actors = actors
        self._archive_path = archive
        self._source = source
        self._advance = advance
        self._num_done = 0
        keys = Keys(self._config.run.name)
        self._feed = Feed(client, keys)
        self._tasks = Tasks(client, keys)
        self._stream = RolloutStream(client, keys)
        self._ring = Ring(client, keys, capacity=0)
        self._control = Control(client, keys)
        self._named: list[Task] = []
        """Tasks by ordinal."""
        self._known: set[Task] = set()
        self._failures: set[int] = set()
        self.num_rollouts = 0
        """Rollouts of the whole stage, those before a resume included."""
        self.notes: list[str] = []
        """What happened to the roles."""

    def run(self, interrupts: Interrupts) -> None:
        """Until the plan is done. Raises Interrupted when the user ends it, what supervision raises otherwise."""
        self._archive = RolloutArchive(self._archive_path)
        try:
            self._open()
            self._replay()
            if self._plan.num_done < self._plan.num_problems:
                self._sample(interrupts)
        finally:
            self._archive.close()

    def _open(self) -> None:
        self._control.clear()
        self._stream.open()
        self._named = self._tasks.all()
        self._known = set(self._named)
        if not self._named:
            self._feed.open(0)

    def _replay(self) -> None:
        """Tell the plan what earlier lives of this stage found out, in the order of the tasks."""
        failures = self._feed.failures()
        for ordinal in sorted({*self._archive.entries, *failures}):
            self._name_tasks()
            if ordinal in self._archive.entries:
                self._take(ordinal)
            else:
                self._give_up(ordinal, failures[ordinal])

    def _sample(self, interrupts: Interrupts) -> None:
        for actor in self._actors:
            actor.work_on(lambda handle, incarnation: handle.sample.remote(self._config, self._problems, incarnation))
        state = RunState(self._config, self._client, self._problems)
        supervisor = Supervisor(self._config, self._actors, state, lambda state: None)
        look_at = 0.0
        try:
            with interrupts.graceful(self._control):
                while self._plan.num_done < self._plan.num_problems:
                    interrupts.raise_if_requested()
                    self._name_tasks()
                    self._collect()
                    if time.monotonic() >= look_at:
                        look_at = time.monotonic() + LOOK_EVERY_S
                        supervisor.tick()
                        self._look_for_failures()
        finally:
            self._control.stop("the stage has ended")
            supervisor.wind_down()
            self.notes = state.notes

    def _name_tasks(self) -> None:
        fresh = [task for task in self._plan.tasks() if task not in self._known]
        if fresh:
            self._patiently(lambda: self._tasks.append(len(self._named), fresh))
            self._named += fresh
            self._known.update(fresh)

    def _collect(self) -> None:
        """Archive what has arrived, tell the plan, and only then take it off the stream.

        What an earlier life of this stage was given and did not finish is taken over at once: nobody else reads here.
        """
        deliveries = self._patiently(
            lambda: self._stream.read(CONSUMER, count=READ_GROUPS, block_s=READ_BLOCK_S, claim_idle_s=0.0)
        )
        arrived = [(self._decoded(delivery), delivery) for delivery in deliveries]
        fresh = self._archive.add([(group, delivery.frame) for group, delivery in arrived], self._source)
        for entry in fresh:
            self._take(entry.ordinal)
        for group, delivery in arrived:
            self._patiently(partial(self._end, delivery.entry_id, group))

    def _end(self, entry_id: str, group: RolloutGroup) -> None:
        self._ring.drop(entry_id, group, "collected", step=group.oldest_version)

    def _decoded(self, delivery: Delivery) -> RolloutGroup:
        try:
            return decode(delivery.frame, RolloutGroup)
        except RecordError as error:
            raise PopeError(f"rollout stream entry {delivery.entry_id} cannot be read: {error}") from error

    def _take(self, ordinal: int) -> None:
        result = self._archive.entries[ordinal].result
        self._plan.record(self._named[ordinal], result)
        self.num_rollouts += result.samples
        self._show_progress()

    def _look_for_failures(self) -> None:
        for ordinal, reason in sorted(self._feed.failures().items()):
            if ordinal not in self._failures:
                self._give_up(ordinal, reason)

    def _give_up(self, ordinal: int, reason: str) -> None:
        self._failures.add(ordinal)
        self._plan.fail(self._named[ordinal], reason)
        self._show_progress()

    def _patiently(self, operation: Callable[[], T]) -> T:
        """Every call to Redis is safe to repeat, so a server that restarts is waited for."""
        return with_retries(operation, deadline_s=self._config.deploy.dead_after_s)

    def _show_progress(self) -> None:
        done = self._plan.num_done
        self._advance(done - self._num_done)
        self._num_done = done


def _stage_config(config: RunConfig, name: str, largest_task: int) -> RunConfig:
    """The settings the actors work under: keys of the stage, no lag bound, as many groups as fill the engine."""
    return replace(
        config,
        run=replace(config.run, name=f"{config.run.name}.{name}"),
        actors=replace(config.actors, group_size=largest_task),
        learner=replace(config.learner, max_lag=None),
    )
