"""Measurement through the actors: solve counts before and after training, and the prefix search of POPE section 4.

Work is dealt to the engines in small chunks, two in flight for each, so that none waits for the slowest.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from actors.evaluate import Count, mean_pass_at_k
from actors.problems.guidance import PrefixSearch
from broker.records import Problem
from conf.schema import RunConfig

CHUNK_ROLLOUTS = 128
"""Rollouts of one chunk of work: about what one engine decodes at once."""


@dataclass(frozen=True)
class Measurement:
    """Solve counts of the hard problems: when ("before", "after", "held_out") -> arm -> one count a problem."""

    counts: dict[str, dict[str, list[Count]]]

    def pass_at_k(self, when: str, arm: str, ks: Sequence[int]) -> dict[str, float]:
        return mean_pass_at_k(self.counts[when][arm], ks)

    def save(self, path: Path) -> None:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self.counts), indent=1))

    @classmethod
    def load(cls, path: Path) -> "Measurement":
        if not path.exists():
            return cls({})
        return cls(msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, list[Count]]]))


def measure(
    actors: Sequence[Any], problems: Sequence[Problem], arm: str, samples: int, advance: Callable[[int], None]
) -> list[Count]:
    """Solve counts of the problems under one arm. `advance(n)` is called when n more rollouts are done."""
    import ray

    todo = deque(_chunks(problems, max(1, CHUNK_ROLLOUTS // samples)))
    running: dict[Any, tuple[Any, int]] = {}
    counts: list[Count] = []
    idle = deque([*actors, *actors])
    while todo or running:
        while todo and idle:
            actor, chunk = idle.popleft(), todo.popleft()
            running[actor.measure.remote(chunk, arm, samples)] = (actor, len(chunk))
        done, _ = ray.wait(list(running), num_returns=1)
        actor, size = running.pop(done[0])
        counts.extend(ray.get(done[0]))
        idle.append(actor)
        advance(size * samples)
    return sorted(counts, key=lambda count: count.problem_id)


def choose_guidance(
    actors: Sequence[Any], problems: Sequence[Problem], config: RunConfig, advance: Callable[[int], None]
) -> tuple[list[Problem], PrefixSearch]:
    """Give every hard problem without guidance the shortest prefix with which the base model succeeds at least once.

    A round tries one prefix of each problem that has none yet; `advance(n)` is called when n more problems have one.
    """
    settings = config.guidance
    hard = [p for p in problems if p.bucket == "hard" and p.solution and p.guidance is None]
    search = PrefixSearch(hard, settings.num_prefixes, settings.samples, config.run.seed)
    while pending := search.pending():
        trial = [msgspec.structs.replace(problem, guidance=prefix) for problem, prefix in pending]
        counts = measure(actors, trial, "guided", settings.samples, lambda n: None)
        for count in counts:
            search.record(count.problem_id, count.successes)
        advance(len(pending) - len(search.pending()))
    chosen = search.result()
    return [msgspec.structs.replace(p, guidance=chosen.get(p.id, p.guidance)) for p in problems], search


def _chunks(problems: Sequence[Problem], size: int) -> Iterator[list[Problem]]:
    for start in range(0, len(problems), size):
        yield list(problems[start : start + size])
