"""Searches the shortest useful prefix of the oracle solution for each hard problem (POPE section 4).

A prefix is useful if the base model, guided with it, succeeds at least once in `samples` rollouts. A prefix is chosen
only after all shorter ones have failed. A single success may be chance: of seven prefixes with a solve rate of 1 %, one
is likely to have a success. With `successes` above 1 a prefix must therefore reach that many successes at a rate of at
least one in every `samples` rollouts.

Problems proceed in independent rounds. A round samples the `at_once` shortest prefixes that are still undecided. Once a
prefix is useful, longer ones are not sampled any more. A problem without a useful prefix gets a random short one, or no
prefix (`guidance.py`).
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from actors.evaluation.results import Result
from actors.evaluation.sampling_plan import CHUNK_SAMPLES, task_seed
from actors.problems.guidance import candidate_prefixes, random_short_prefix
from actors.problems.mixture import has_prefix
from broker.records import Problem, Record, Task
from conf.schema import GuidanceSettings

PrefixKind = Literal["useful", "given", "by_share", "fallback", "none"]
"""How a problem came to its guidance: searched, given in its file, by its share of the solution (`guidance.length`),
random and short, or not at all."""


class PrefixTrial(Record, frozen=True):
    """The rollouts spent on one candidate prefix, and their successes."""

    problem_id: str
    index: int
    """Index among the problem's candidates, from 0, ascending in length."""
    prefix: str
    samples: int
    successes: int
    completion_tokens: int


class ChosenPrefix(Record, frozen=True):
    """The guidance chosen for one problem."""

    problem_id: str
    index: int | None
    """i*: index among the candidates. None: no candidate was useful and the prefix is a random short one, or empty."""
    num_candidates: int
    prefix: str
    """Empty: the problem has no prefix and is not trained with guidance."""
    reason: str

    @property
    def kind(self) -> PrefixKind:
        if self.index is not None:
            return "useful"
        return "fallback" if self.prefix else "none"


def count_kinds(
    hard_problems: Sequence[Problem], chosen: Sequence[ChosenPrefix], *, by_share: bool = False
) -> dict[PrefixKind, int]:
    """Number of hard problems by the kind of their guidance, without those that have no solution to cut it from.

    `by_share`: what was not searched was cut by a share, and not given.
    """
    searched = {choice.problem_id: choice.kind for choice in chosen}
    other: PrefixKind = "by_share" if by_share else "given"
    with_choice = (problem for problem in hard_problems if problem.guidance is not None)
    kinds = Counter(searched.get(p.id) or (other if has_prefix(p) else "none") for p in with_choice)
    return {kind: kinds[kind] for kind in get_args(PrefixKind)}


def describe_kinds(kinds: Mapping[PrefixKind, int]) -> str:
    """The counts in words: "5 hard problems with a useful prefix, 2 with a random short one, ..."."""
    if by_share := kinds.get("by_share"):  # older files do not have it
        return f"{by_share} hard problems with prefixes by their share of the solution, {kinds['none']} without one"
    given = f"{kinds['given']} with a given one, " if kinds["given"] else ""
    return (
        f"{kinds['useful']} hard problems with a useful prefix, {given}{kinds['fallback']} with a random short one, "
        f"{kinds['none']} without (trained unguided only)"
    )


@dataclass
class _Trial:
    prefix: str
    samples: int = 0
    successes: int = 0
    completion_tokens: int = 0


@dataclass
class _ProblemSearch:
    """The search of one problem."""

    problem: Problem
    trials: list[_Trial]
    outstanding: dict[int, int] = field(default_factory=dict)
    """Index of the trial -> seed of its task whose result has not been recorded yet."""
    too_long: int | None = None
    """Index of the shortest prefix that could not be sampled. It and the longer ones are not eligible."""
    failure: str = ""
    """Why that prefix could not be sampled."""

    @property
    def eligible(self) -> list[_Trial]:
        return self.trials[: self.too_long]

    @property
    def best(self) -> int | None:
        """Index of the trial with the highest solve rate, the shortest of equals; None without any success."""
        solved = [(-trial.successes / trial.samples, i) for i, trial in enumerate(self.eligible) if trial.successes]
        return min(solved)[1] if solved else None


class PrefixSearch:
    """Searches the prefixes of many problems at the same time. A `SamplingPlan`."""

    def __init__(self, problems: Sequence[Problem], settings: GuidanceSettings, seed: int) -> None:
        self._settings = settings
        self._seed = seed
        self._searches: dict[str, _ProblemSearch] = {}
        for problem in problems:
            if not problem.solution:
                raise ValueError(f"problem {problem.id} has no solution to cut guidance from")
            prefixes = candidate_prefixes(problem.solution, settings.num_prefixes, problem.answer, problem.statement)
            self._searches[problem.id] = _ProblemSearch(problem, [_Trial(prefix) for prefix in prefixes])

    @property
    def largest_task(self) -> int:
        return min(self._settings.samples, CHUNK_SAMPLES)

    @property
    def num_problems(self) -> int:
        return len(self._searches)

    @property
    def num_done(self) -> int:
        return sum(not search.outstanding and not self._undecided(search) for search in self._searches.values())

    def tasks(self) -> list[Task]:
        return [
            self._next_task(search, index)
            for search in self._searches.values()
            if not search.outstanding
            for index in self._undecided(search)[: self._settings.at_once]
        ]

    def record(self, task: Task, result: Result) -> None:
        search, index = self._close(task)
        trial = search.trials[index]
        trial.samples += result.samples
        trial.successes += result.successes
        trial.completion_tokens += result.completion_tokens

    def fail(self, task: Task, reason: str) -> None:
        """Rules out a prefix whose prompt is too long, and all longer prefixes."""
        search, index = self._close(task)
        search.too_long = min(index, len(search.trials) if search.too_long is None else search.too_long)
        search.failure = reason

    def chosen(self) -> list[ChosenPrefix]:
        """One record for each problem, in the order of the problems. Raises ValueError before all are done."""
        if self.num_done < self.num_problems:
            raise ValueError(f"{self.num_problems - self.num_done} problems still have a prefix to try")
        return [self._chosen(search) for search in self._searches.values()]

    def trials(self) -> list[PrefixTrial]:
        """One record for each prefix that was sampled, by problem and length."""
        return [
            PrefixTrial(
                problem_id=search.problem.id,
                index=index,
                prefix=trial.prefix,
                samples=trial.samples,
                successes=trial.successes,
                completion_tokens=trial.completion_tokens,
            )
            for search in self._searches.values()
            for index, trial in enumerate(search.trials)
            if trial.samples
        ]

    def _undecided(self, search: _ProblemSearch) -> list[int]:
        """Indices of the trials that may still be the shortest useful one, shortest first."""
        undecided = []
        for index, trial in enumerate(search.eligible):
            if self._useful(trial):
                break
            if not self._has_failed(trial):
                undecided.append(index)
        return undecided

    def _useful(self, trial: _Trial) -> bool:
        return trial.successes >= self._settings.successes

    def _has_failed(self, trial: _Trial) -> bool:
        """Whether the trial completed a round of `samples` rollouts with fewer successes than rounds."""
        rounds, rest = divmod(trial.samples, self._settings.samples)
        return rest == 0 and trial.successes < rounds

    def _next_task(self, search: _ProblemSearch, index: int) -> Task:
        trial = search.trials[index]
        seed = task_seed(self._seed, "prefix", search.problem.id, index, trial.samples)
        search.outstanding[index] = seed
        size = min(CHUNK_SAMPLES, self._settings.samples - trial.samples % self._settings.samples)
        return Task(problem_id=search.problem.id, arm="guided", samples=size, guidance=trial.prefix, seed=seed)

    def _close(self, task: Task) -> tuple[_ProblemSearch, int]:
        search = self._searches[task.problem_id]
        for index, seed in search.outstanding.items():
            if seed == task.seed:
                del search.outstanding[index]
                return search, index
        raise ValueError(f"no such task is outstanding: {task}")

    def _chosen(self, search: _ProblemSearch) -> ChosenPrefix:
        problem = search.problem
        useful = next((i for i, trial in enumerate(search.eligible) if self._useful(trial)), search.best)
        if useful is not None:
            trial = search.trials[useful]
            prefix, reason = trial.prefix, f"{trial.successes} of {trial.samples} solved"
        else:
            prefix = self._fallback(search)
            way_out = "random and short" if prefix else "none, because the first step is too long or shows the answer"
            reason = f"no useful prefix: {way_out}{f' ({search.failure})' if search.failure else ''}"
        return ChosenPrefix(
            problem_id=problem.id, index=useful, num_candidates=len(search.trials), prefix=prefix, reason=reason
        )

    def _fallback(self, search: _ProblemSearch) -> str:
        """A random prefix, shorter than any whose prompt is too long."""
        problem, rng = search.problem, random.Random(f"{self._seed}/fallback/{search.problem.id}")
        below_chars = None if search.too_long is None else len(search.trials[search.too_long].prefix)
        return random_short_prefix(problem.solution or "", problem.answer, rng, problem.statement, below_chars)
