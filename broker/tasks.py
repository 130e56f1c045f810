"""Tasks by group id, for stages that choose tasks by earlier results: mining, prefix search, evaluation.

In training, a group id stands for a (problem, arm) by the mixture of arms. In a sampling stage, a plan appends
tasks to a list, and a group id is an index into the list. The feed issues no group id beyond the end of the list.
"""

from collections.abc import Sequence
from typing import cast

import redis

from broker.errors import BrokerError
from broker.keys import Keys
from broker.records import Assignment, Task, decode, encode
from broker.scripts import Script

_APPEND = Script("append_tasks")
_BATCH = 500
"""Tasks per script call, so that one call does not block the server for long."""


class Tasks:
    """The tasks of one sampling stage. One process appends, any number of processes read."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys

    def all(self) -> list[Task]:
        """All tasks so far; the index of a task is its group id."""
        return [decode(frame, Task) for frame in cast(list[bytes], self._client.lrange(self._keys.tasks, 0, -1))]

    def append(self, known: int, tasks: Sequence[Task]) -> None:
        """Appends tasks to a list that has `known` tasks so far, and lets the feed issue them. Idempotent.

        Raises BrokerError when another process appended to the list.
        """
        names = [self._keys.tasks, self._keys.feed]
        for start in range(0, len(tasks), _BATCH):
            frames = [encode(task) for task in tasks[start : start + _BATCH]]
            if not _APPEND(self._client, names, known + start, *frames):
                raise BrokerError(f"{self._keys.tasks} was changed by another process that samples under the same name")

    def assignment(self, group_id: int) -> Assignment:
        """The task of a group id. Raises BrokerError when the list has none."""
        frame = cast(bytes | None, self._client.lindex(self._keys.tasks, group_id))
        if frame is None:
            raise BrokerError(f"{self._keys.tasks} has no task {group_id}")
        task = decode(frame, Task)
        return Assignment(
            group_id=group_id,
            problem_id=task.problem_id,
            arm=task.arm,
            samples=task.samples,
            guidance=task.guidance,
            seed=task.seed,
        )
