"""What a stage of sampling wants next, and what it makes of what came back.

Mining, prefix search and evaluation differ only in this: a plan names tasks, hears their results in any order, names
more. Its tasks and its conclusions are a pure function of (problems, settings, seed, results), so a stage that was
killed and replayed from its results goes on as if nothing had happened.
"""

import hashlib
from collections.abc import Iterator
from typing import Protocol

from actors.evaluation.results import Result
from broker.records import Task

CHUNK_SAMPLES = 16
"""Rollouts of one task: enough to share a prompt's KV cache, few enough that a problem can be stopped early."""


class SamplingPlan(Protocol):
    """Asked and told by one loop; it neither waits nor samples."""

    @property
    def largest_task(self) -> int:
        """Rollouts of the largest task it will ever name."""

    @property
    def num_done(self) -> int:
        """Problems that need no more samples."""

    @property
    def num_problems(self) -> int: ...

    def tasks(self) -> list[Task]:
        """Tasks that have become necessary since the last call; each is named once."""

    def record(self, task: Task, result: Result) -> None:
        """Take the outcome of a task that was named. Raises ValueError for one that was not."""

    def fail(self, task: Task, reason: str) -> None:
        """The rollouts of a task will never come; its problem is given up."""


def chunks(samples: int) -> Iterator[int]:
    """A number of rollouts in tasks: 40 -> 16, 16, 8."""
    for start in range(0, samples, CHUNK_SAMPLES):
        yield min(CHUNK_SAMPLES, samples - start)


def task_seed(*parts: object) -> int:
    """Sampling seed of one task, from what it is; 31 bits, of which the low 8 count the rollouts within a task."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1 & ~0xFF
