"""The interface of a sampling plan: which rollouts a sampling stage requests next, given the results so far.

Mining, prefix search and evaluation differ only in their plan, which names tasks, takes their results in any order and
names more. Tasks and conclusions are a pure function of (problems, settings, seed, results), so a stage that was killed
continues exactly after its results are replayed.
"""

import hashlib
from collections.abc import Iterator
from typing import Protocol

from actors.evaluation.results import Result
from broker.records import Task

CHUNK_SAMPLES = 16
"""Most rollouts of one task: many share the prompt's KV cache, few allow a problem to stop early."""


class SamplingPlan(Protocol):
    """Driven by one loop; it neither waits nor samples."""

    @property
    def largest_task(self) -> int:
        """Rollouts of the largest task that it may name."""

    @property
    def num_done(self) -> int:
        """Problems that need no more samples."""

    @property
    def num_problems(self) -> int: ...

    def tasks(self) -> list[Task]:
        """Tasks that have become necessary since the last call; each is returned once."""

    def record(self, task: Task, result: Result) -> None:
        """Take the result of a task. Raises ValueError if the task was not named or has a result already."""

    def fail(self, task: Task, reason: str) -> None:
        """Give up the problem of a task whose rollouts could not be sampled."""


def chunks(samples: int) -> Iterator[int]:
    """Split a number of rollouts into tasks: 40 -> 16, 16, 8."""
    for start in range(0, samples, CHUNK_SAMPLES):
        yield min(CHUNK_SAMPLES, samples - start)


def task_seed(*parts: object) -> int:
    """Sampling seed of one task, a hash of `parts`: 31 bits; the low 8 are zero, to count rollouts within the task."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1 & ~0xFF
