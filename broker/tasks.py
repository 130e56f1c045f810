"""Tasks by group id, where what comes next depends on what came back: mining, prefix search, evaluation.

In training a group id is a pure function of the seed. Here a plan appends tasks while it learns from results, and
the list itself says what a group id stands for. The feed issues no group id beyond the end of the list.
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
"""Tasks of one script call; a server must not be busy with one for long."""


class Tasks:
    """The tasks of one stage of sampling. One process appends, any number read."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client, self._keys = client, keys

    def all(self) -> list[Task]:
        """Every task so far; the place in the list is its group id."""
        return [decode(frame, Task) for frame in cast(list[bytes], self._client.lrange(self._keys.tasks, 0, -1))]

    def append(self, known: int, tasks: Sequence[Task]) -> None:
        """Add tasks behind the `known` there are, and let the feed issue them. Safe to repeat."""
        names = [self._keys.tasks, self._keys.feed]
        for start in range(0, len(tasks), _BATCH):
            frames = [encode(task) for task in tasks[start : start + _BATCH]]
            if not _APPEND(self._client, names, known + start, *frames):
                raise BrokerError(f"{self._keys.tasks} grew under our hands: another process samples under this name")

    def assignment(self, group_id: int) -> Assignment:
        """What a group id stands for."""
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
