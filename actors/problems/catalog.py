"""Loads the problems of a run from the built-in domain, a file or a data set of the Hugging Face hub.

The built-in problems are a pure function of the settings and the seed. Their ids are readable: chain8-s0-0003 is the
fourth hard problem with 8 steps under seed 0; held8-… are held out, ring-… and short-… are easy, ring1-… and short1-…
easier. Problems of other sources have the id in their row, or one computed from their statement.
"""

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace

from actors.problems.answer_checks import ProgressCallback, check_answers
from actors.problems.guidance import may_be_guided
from actors.problems.mixture import ARM_BUCKET, check_guided_arm
from actors.problems.problem_set import ProblemSet, RejectedRow
from actors.problems.problem_sources import read_source
from actors.problems.tiny.chains import Chain, distinct_chains
from actors.problems.tiny.ring_walk import RingWalk, distinct_walks
from actors.problems.tiny.terse import terse_solution
from broker.errors import UsageError
from broker.records import Bucket, Problem
from conf.schema import ProblemSettings, VerifierSettings

BUILTIN = "builtin:tiny"
_LENGTHS: dict[Bucket, tuple[tuple[int, ...], tuple[int, ...]]] = {"easy": ((2, 3, 4), (2,)), "easier": ((1,), (1,))}
"""Bucket -> (moves of its ring walks, steps of its short chains)."""


def load_problems(settings: ProblemSettings, seed: int) -> list[Problem]:
    """The problems of `load_problem_set`."""
    return load_problem_set(settings, seed).problems


def load_problem_set(
    settings: ProblemSettings,
    seed: int,
    verifier: VerifierSettings | None = None,
    progress: ProgressCallback | None = None,
) -> ProblemSet:
    """The problems that a run trains on: the hard ones, and those of every bucket with an arm of positive weight.

    Each bucket has at most `problems.limit` problems. The answers of files and data sets are parsed. Raises UsageError
    when the source is invalid or has no usable problem, or when the guided arm has a positive weight and a hard problem
    has neither solution nor guidance, or none has a prefix for its guidance. Such a run rejects the problems whose only
    solutions contradict their answers.
    """
    loaded = _read(settings, seed, verifier, progress)
    if settings.arms.get("guided", 0) > 0:
        loaded = _without_usable_solution_rejected(loaded)
    if not loaded.problems:
        raise UsageError(
            f"problems.source={settings.source}: {loaded.explain()}; "
            f"pope problems check {settings.source} --reasons FILE lists the rejected rows"
        )
    wanted = {"hard"} | {ARM_BUCKET[arm] for arm, weight in settings.arms.items() if weight > 0}
    loaded = replace(loaded, problems=_limited([p for p in loaded.problems if p.bucket in wanted], settings, seed))
    if settings.arms.get("guided", 0) > 0:
        _check_solutions(loaded.problems, settings.source)
        check_guided_arm(loaded.problems, settings.arms, may_be_guided)
    return loaded


def _read(
    settings: ProblemSettings, seed: int, verifier: VerifierSettings | None, progress: ProgressCallback | None
) -> ProblemSet:
    if settings.source != BUILTIN:
        return check_answers(read_source(settings), verifier or VerifierSettings(), progress)
    easy = [_easy_problems(settings, seed, bucket) for bucket in _LENGTHS if settings.arms.get(bucket, 0)]
    return ProblemSet([*_hard_problems(settings, seed), *itertools.chain.from_iterable(easy)])


def _limited(problems: Sequence[Problem], settings: ProblemSettings, seed: int) -> list[Problem]:
    """At most `problems.limit` problems of each bucket, drawn by the seed, in their original order."""
    if settings.source == BUILTIN:
        return list(problems)
    drawn: set[str] = set()
    for bucket in {problem.bucket for problem in problems}:
        ids = [problem.id for problem in problems if problem.bucket == bucket]
        random.Random(f"limit/{bucket}/{seed}").shuffle(ids)
        drawn |= set(ids[: settings.limit.get(bucket)])
    return [problem for problem in problems if problem.id in drawn]


def held_out_problems(settings: ProblemSettings, seed: int, count: int) -> list[Problem]:
    """`count` hard problems of the built-in domain that are in no training set. Raises UsageError for other sources."""
    if settings.source != BUILTIN:
        raise UsageError(
            f"evaluation.num_held_out={count} needs problems.source={BUILTIN}: no other source has held-out problems; "
            "set it to 0"
        )
    rng = random.Random(f"held-out/{settings.chain_steps}/{seed}")
    chains = distinct_chains("held_out", (settings.chain_steps,), count, rng)
    return _records(chains, f"held{settings.chain_steps}-s{seed}", "hard", settings.oracle_style)


def _hard_problems(settings: ProblemSettings, seed: int) -> list[Problem]:
    rng = random.Random(f"hard/{settings.chain_steps}/{seed}")
    chains = distinct_chains("hard", (settings.chain_steps,), settings.num_hard, rng)
    return _records(chains, f"chain{settings.chain_steps}-s{seed}", "hard", settings.oracle_style)


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
            bucket=bucket, source=BUILTIN,
        )
        for index, task in enumerate(tasks)
    ]


def _solution(task: Chain | RingWalk, style: str) -> str:
    return terse_solution(task) if isinstance(task, Chain) and style == "terse" else task.solution


def _without_usable_solution_rejected(problem_set: ProblemSet) -> ProblemSet:
    """Rejects the hard problems that have no solution because all that their row has were dropped."""
    dropped = {solution.id: solution for solution in problem_set.dropped_solutions}
    return problem_set.without(
        RejectedRow(problem_set.rows.get(problem.id, 0), problem.id, "no_usable_solution", dropped[problem.id].detail)
        for problem in problem_set.problems
        if problem.bucket == "hard" and not problem.solution and problem.guidance is None and problem.id in dropped
    )


def _check_solutions(problems: list[Problem], source: str) -> None:
    for problem in problems:
        if problem.bucket == "hard" and not problem.solution and problem.guidance is None:
            raise UsageError(
                f"{source}: problem {problem.id} has no solution, but problems.arms.guided is above 0 and guidance is "
                "cut from the solution; add a solution, or set problems.arms.guided=0"
            )
