"""`problems.source=builtin:tiny`: the problems of the procedural domain.

Their ids are readable: chain8-s0-0003 is the fourth hard problem with 8 steps under seed 0; held8-… are held out,
ring-… and short-… are easy, ring1-… and short1-… easier.
"""

import itertools
import random
from collections.abc import Sequence

from actors.problems.tiny.chains import Chain, distinct_chains
from actors.problems.tiny.ring_walk import RingWalk, distinct_walks
from actors.problems.tiny.terse import terse_solution
from broker.records import Bucket, Problem
from conf.schema import ProblemSettings

SOURCE = "builtin:tiny"
_LENGTHS: dict[Bucket, tuple[tuple[int, ...], tuple[int, ...]]] = {"easy": ((2, 3, 4), (2,)), "easier": ((1,), (1,))}
"""Bucket -> (moves of its ring walks, steps of its short chains)."""


def training_problems(settings: ProblemSettings, seed: int) -> list[Problem]:
    """The hard problems, and those of the easy buckets with an arm of positive weight."""
    rng = random.Random(f"hard/{settings.chain_steps}/{seed}")
    chains = distinct_chains("hard", (settings.chain_steps,), settings.num_hard, rng)
    hard = _records(chains, f"chain{settings.chain_steps}-s{seed}", "hard", settings.oracle_style)
    easy = [_easy_problems(settings, seed, bucket) for bucket in _LENGTHS if settings.arms.get(bucket, 0)]
    return [*hard, *itertools.chain.from_iterable(easy)]


def held_out_problems(settings: ProblemSettings, seed: int, count: int) -> list[Problem]:
    """`count` hard problems that are in no training set."""
    rng = random.Random(f"held-out/{settings.chain_steps}/{seed}")
    chains = distinct_chains("held_out", (settings.chain_steps,), count, rng)
    return _records(chains, f"held{settings.chain_steps}-s{seed}", "hard", settings.oracle_style)


def _easy_problems(settings: ProblemSettings, seed: int, bucket: Bucket) -> list[Problem]:
    """The problems of the bucket `easy` or `easier`."""
    count, mark = (settings.num_easy, "") if bucket == "easy" else (settings.num_easier, "1")
    moves, steps = _LENGTHS[bucket]
    rng = random.Random(f"{bucket}/{settings.easy_kind}/{seed}")
    if settings.easy_kind == "related":
        chains = distinct_chains("other", steps, count, rng)
        return _records(chains, f"short{mark}-s{seed}", bucket, settings.oracle_style)
    return _records(distinct_walks(moves, count, rng), f"ring{mark}-s{seed}", bucket, "model")


def _records(tasks: Sequence[Chain | RingWalk], stem: str, bucket: Bucket, style: str) -> list[Problem]:
    return [
        Problem(
            id=f"{stem}-{index:04d}", statement=task.statement, answer=task.answer, solution=_solution(task, style),
            bucket=bucket, source=SOURCE,
        )
        for index, task in enumerate(tasks)
    ]


def _solution(task: Chain | RingWalk, style: str) -> str:
    return terse_solution(task) if isinstance(task, Chain) and style == "terse" else task.solution
