"""Tasks by ordinal, where what comes next depends on what came back: mining, prefix search, evaluation.

In training an ordinal is a pure function of the seed. Here a plan appends tasks while it learns from results, and
the list itself says what an ordinal stands for. The feed issues no ordinal beyond the end of the list.
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
        """Every task so far; the place in the list is its ordinal."""
        return [decode(frame, Task) for frame in cast(list[bytes], self._client.lrange(self._keys.tasks, 0, -1))]

    def append(self, known: int, tasks: Sequence[Task]) -> None:
        """Add tasks behind the `known` there are, and let the feed issue them. Safe to repeat."""
        names = [self._keys.tasks, self._keys.feed]
        for start in range(0, len(tasks), _BATCH):
            frames = [encode(task) for task in tasks[start : start + _BATCH]]
            if not _APPEND(self._client, names, known + start, *frames):
                raise BrokerError(f"{self._keys.tasks} grew under our hands: another process samples under this name")

    def assignment(self, ordinal: int) -> Assignment:
        """What an ordinal stands for."""
        frame = cast(bytes | None, self._client.lindex(self._keys.tasks, ordinal))
        if frame is None:
            raise BrokerError(f"{self._keys.tasks} has no task {ordinal}")
        task = decode(frame, Task)
        return Assignment(
            ordinal=ordinal,
            problem_id=task.problem_id,
            arm=task.arm,
            samples=task.samples,
            guidance=task.guidance,
            seed=task.seed,
        )
