"""Loads the problems of a run from a built-in domain, a file, a data set of the Hugging Face hub or a user's function.

Built-in problems are a pure function of the settings and the seed. Problems of other sources have the id in their row,
or one computed from their statement.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from actors.problems.answer_checks import ProgressCallback, check_answers
from actors.problems.guidance import may_be_guided
from actors.problems.mixture import ARM_BUCKET, check_guided_arm
from actors.problems.problem_set import ProblemSet, RejectedRow
from actors.problems.problem_sources import read_source
from actors.problems.stories import problems as stories
from actors.problems.tiny import problems as tiny
from broker.errors import UsageError
from broker.records import Problem
from conf.schema import ProblemSettings, VerifierSettings


class Domain(Protocol):
    """A module that makes problems as a pure function of the settings and the seed."""

    def training_problems(self, settings: ProblemSettings, seed: int) -> list[Problem]:
        """The hard problems, and those of the easy buckets with an arm of positive weight."""

    def held_out_problems(self, settings: ProblemSettings, seed: int, count: int) -> list[Problem]:
        """`count` hard problems that are in no training set."""


BUILTIN: dict[str, Domain] = {tiny.SOURCE: tiny, stories.SOURCE: stories, stories.UNSEEN: stories}
"""Built-in source -> its module."""


def load_problems(
    settings: ProblemSettings, seed: int, verifier: VerifierSettings | None = None
) -> list[Problem]:
    """The problems of `load_problem_set`."""
    return load_problem_set(settings, seed, verifier).problems


def load_problem_set(
    settings: ProblemSettings,
    seed: int,
    verifier: VerifierSettings | None = None,
    progress: ProgressCallback | None = None,
) -> ProblemSet:
    """The problems that a run trains on: the hard ones, and those of every bucket with an arm of positive weight.

    Each bucket has at most `problems.limit` problems. The answers of files and data sets are parsed, unless
    `verifier.judge` is another than `math`. Raises UsageError
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
    if settings.source in BUILTIN:
        return ProblemSet(BUILTIN[settings.source].training_problems(settings, seed))
    verifier = verifier or VerifierSettings()
    if verifier.judge != "math":
        return read_source(settings, seed, verbatim_answers=True)
    return check_answers(read_source(settings, seed), verifier, progress)


def _limited(problems: Sequence[Problem], settings: ProblemSettings, seed: int) -> list[Problem]:
    """At most `problems.limit` problems of each bucket, drawn by the seed, in their original order."""
    if settings.source in BUILTIN:
        return list(problems)
    drawn: set[str] = set()
    for bucket in {problem.bucket for problem in problems}:
        ids = [problem.id for problem in problems if problem.bucket == bucket]
        random.Random(f"limit/{bucket}/{seed}").shuffle(ids)
        drawn |= set(ids[: settings.limit.get(bucket)])
    return [problem for problem in problems if problem.id in drawn]


def held_out_problems(settings: ProblemSettings, seed: int, count: int) -> list[Problem]:
    """`count` hard problems of a built-in domain that are in no training set. Raises UsageError for other sources."""
    if settings.source not in BUILTIN:
        raise UsageError(
            f"evaluation.num_held_out={count} needs problems.source={' or '.join(BUILTIN)}: no other source has "
            "held-out problems; set it to 0"
        )
    return BUILTIN[settings.source].held_out_problems(settings, seed, count)


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
