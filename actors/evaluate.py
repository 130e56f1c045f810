"""Measurement: how often each problem is solved."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from actors.pass_at_k import pass_at_k
from actors.rollouts import RolloutWriter
from broker.records import Problem


@dataclass(frozen=True)
class Count:
    """Outcome of the samples of one problem under one arm."""

    problem_id: str
    samples: int
    successes: int
    truncated: int
    """Samples cut by the token budget: no evidence that a problem is hard."""


def mean_pass_at_k(counts: Sequence[Count], ks: Sequence[int]) -> dict[str, float]:
    """Mean over problems: {"pass@1": ..., "pass@8": ...}."""
    return {f"pass@{k}": sum(pass_at_k(c.samples, c.successes, k) for c in counts) / len(counts) for k in ks}


async def count_successes(
    writer: RolloutWriter,
    problems: Mapping[str, Problem],
    *,
    arm: str,
    samples: int,
    max_concurrent: int,
    on_done: Callable[[Count], None] | None = None,
) -> list[Count]:
    """Sample every problem under one arm. At most `max_concurrent` prompts are in the engine at once."""
    room = asyncio.Semaphore(max_concurrent)

    async def one(problem: Problem) -> Count:
        async with room:
            completions = await writer.sample(problem, arm, samples)
        count = Count(
            problem_id=problem.id,
            samples=samples,
            successes=sum(c.verdict == "correct" for c in completions),
            truncated=sum(c.finish_reason == "length" for c in completions),
        )
        if on_done:
            on_done(count)
        return count

    return list(await asyncio.gather(*(one(problem) for problem in problems.values())))
