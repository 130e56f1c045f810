"""Settings -> the problems of a run: the built-in domain, or a JSONL file.

Everything here is a pure function of the settings and the seed. Ids are stable and readable: chain8-s0-0003 is the
fourth hard problem with 8 steps under seed 0; held8-… are held out, ring-… and short-… are easy.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from actors.problems.jsonl import read_problems
from actors.problems.tiny.chains import Chain, distinct_chains
from actors.problems.tiny.ring_walk import RingWalk, distinct_walks
from broker.errors import UsageError
from broker.records import Problem
from conf.schema import ProblemSettings

BUILTIN = "builtin:tiny"


def load_problems(settings: ProblemSettings, seed: int) -> list[Problem]:
    """Hard problems, then easy ones when the arm `easy` has a weight."""
    wants_easy = settings.arms.get("easy", 0) > 0
    if settings.source == BUILTIN:
        problems = _hard_chains(settings, seed)
        return problems + (_easy(settings, seed) if wants_easy else [])
    problems = read_problems(Path(settings.source).expanduser())
    if settings.arms.get("guided", 0) > 0:
        _check_solutions(problems, settings.source)
    return [p for p in problems if p.bucket == "hard" or wants_easy]


def held_out_problems(settings: ProblemSettings, seed: int, count: int) -> list[Problem]:
    """`count` unseen hard problems of the built-in domain, never equal to a hard one of any seed."""
    if settings.source != BUILTIN:
        raise UsageError(
            f"evaluation.num_held_out={count} needs problems.source={BUILTIN}; "
            "a file has no unseen problems: set it to 0"
        )
    rng = random.Random(f"held-out/{settings.chain_steps}/{seed}")
    chains = distinct_chains("held_out", (settings.chain_steps,), count, rng)
    return _records(chains, f"held{settings.chain_steps}-s{seed}", "hard")


def _hard_chains(settings: ProblemSettings, seed: int) -> list[Problem]:
    rng = random.Random(f"hard/{settings.chain_steps}/{seed}")
    chains = distinct_chains("hard", (settings.chain_steps,), settings.num_hard, rng)
    return _records(chains, f"chain{settings.chain_steps}-s{seed}", "hard")


def _easy(settings: ProblemSettings, seed: int) -> list[Problem]:
    rng = random.Random(f"easy/{settings.easy_kind}/{seed}")
    if settings.easy_kind == "related":
        return _records(distinct_chains("other", (1, 2), settings.num_easy, rng), f"short-s{seed}", "easy")
    return _records(distinct_walks(settings.num_easy, rng), f"ring-s{seed}", "easy")


def _records(tasks: Sequence[Chain | RingWalk], stem: str, bucket: Literal["hard", "easy"]) -> list[Problem]:
    return [
        Problem(
            id=f"{stem}-{index:04d}", statement=task.statement, answer=task.answer, solution=task.solution,
            bucket=bucket, source=BUILTIN,
        )
        for index, task in enumerate(tasks)
    ]


def _check_solutions(problems: list[Problem], source: str) -> None:
    for problem in problems:
        if problem.bucket == "hard" and not problem.solution:
            raise UsageError(
                f"{source}: problem {problem.id} has no solution, but problems.arms.guided has a weight and guidance "
                "is cut from the solution; add one, or set problems.arms.guided=0"
            )
