"""The interface of a sampling plan: which rollouts a sampling stage requests next, given the results so far.

Mining, prefix search and evaluation differ only in their plan, which returns tasks, takes their results in any order
and returns further tasks. Tasks and conclusions are a pure function of (problems, settings, seed, results), so a killed
stage continues exactly once its results are replayed.
"""

import hashlib
from collections.abc import Iterator
from typing import Protocol

from actors.evaluation.results import Result
from broker.records import Task

CHUNK_SAMPLES = 16
"""Largest number of rollouts of one task: more share the prompt's KV cache, fewer allow earlier stopping."""


class SamplingPlan(Protocol):
    """Chooses tasks; the loop of a sampling stage issues them and records their results."""

    @property
    def largest_task(self) -> int:
        """Number of rollouts of the largest possible task."""

    @property
    def num_done(self) -> int:
        """Problems that need no more samples."""

    @property
    def num_problems(self) -> int: ...

    def tasks(self) -> list[Task]:
        """Tasks that have become necessary since the last call; each is returned once."""

    def record(self, task: Task, result: Result) -> None:
        """Records the result of a task. Raises ValueError if the task was not returned or already has a result."""

    def fail(self, task: Task, reason: str) -> None:
        """Marks the problem of a task as failed because its rollouts could not be sampled. Raises as `record`."""


def chunks(samples: int) -> Iterator[int]:
    """Splits a number of rollouts into tasks: 40 -> 16, 16, 8."""
    for start in range(0, samples, CHUNK_SAMPLES):
        yield min(CHUNK_SAMPLES, samples - start)


def task_seed(*parts: object) -> int:
    """Sampling seed of one task, a hash of `parts`: 31 bits, the low 8 zero, so that seed + rollout index is unique."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1 & ~0xFF
