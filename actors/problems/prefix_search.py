"""The shortest prefix of its oracle solution that gets a hard problem started (POPE section 4).

A prefix is useful when the base model, guided with it, succeeds at least once in `samples` rollouts. The shortest
useful one is wanted, so every shorter one has to fail first. One success may be luck, and of seven prefixes that solve
one rollout in a hundred one is likely to have it: with `successes` above 1 a prefix has to keep that pace, one success
in every `samples` rollouts, until it has so many.

Each problem goes on in rounds of its own and many problems are in flight at once: a round samples the shortest
`at_once` prefixes that are still undecided; once a prefix is useful, all longer ones are out of the question.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from actors.evaluation.results import Result
from actors.evaluation.sampling_plan import CHUNK_SAMPLES, task_seed
from actors.problems.guidance import candidates, random_short_prefix
from broker.records import Problem, Record, Task
from conf.schema import GuidanceSettings


class PrefixTrial(Record, frozen=True):
    """What one candidate prefix cost and gave."""

    problem_id: str
    index: int
    """Place among the problem's candidates, from 0, ascending in length."""
    prefix: str
    samples: int
    successes: int
    completion_tokens: int


class ChosenPrefix(Record, frozen=True):
    """The guidance of one problem."""

    problem_id: str
    index: int | None
    """i*: place among the candidates; None: none was useful, the prefix is a random short one."""
    num_candidates: int
    prefix: str
    reason: str


@dataclass
class _Trial:
    prefix: str
    samples: int = 0
    successes: int = 0
    completion_tokens: int = 0


@dataclass
class _Search:
    """Of one problem."""

    problem: Problem
    trials: list[_Trial]
    outstanding: dict[int, int] = field(default_factory=dict)
    """Index of the trial -> seed of its task that has not come back."""
    too_long: int | None = None
    """Index of the shortest prefix that could not be sampled; it and the longer ones are out of the question."""
    failed: str = ""
    """Why not."""

    @property
    def eligible(self) -> list[_Trial]:
        return self.trials[: self.too_long]

    @property
    def likeliest(self) -> int | None:
        """Index of the trial with the highest solve rate, the shortest of equals; None: nothing was solved."""
        solved = [(-trial.successes / trial.samples, i) for i, trial in enumerate(self.eligible) if trial.successes]
        return min(solved)[1] if solved else None


class PrefixSearch:
    """The search of many problems side by side; a `SamplingPlan`."""

    def __init__(self, problems: Sequence[Problem], settings: GuidanceSettings, seed: int) -> None:
        self._settings = settings
        self._seed = seed
        self._searches: dict[str, _Search] = {}
        for problem in problems:
            if not problem.solution:
                raise ValueError(f"problem {problem.id} has no solution to cut guidance from")
            prefixes = candidates(problem.solution, settings.num_prefixes, problem.answer, problem.statement)
            self._searches[problem.id] = _Search(problem, [_Trial(prefix) for prefix in prefixes])

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
            self._task(search, index)
            for search in self._searches.values()
            if not search.outstanding
            for index in self._undecided(search)[: self._settings.at_once]
        ]

    def record(self, task: Task, result: Result) -> None:
        search, index = self._end(task)
        trial = search.trials[index]
        trial.samples += result.samples
        trial.successes += result.successes
        trial.completion_tokens += result.completion_tokens

    def fail(self, task: Task, reason: str) -> None:
        """A prefix that cannot be sampled (its prompt is too long) rules out the longer ones too."""
        search, index = self._end(task)
        search.too_long = min(index, len(search.trials) if search.too_long is None else search.too_long)
        search.failed = reason

    def chosen(self) -> list[ChosenPrefix]:
        """One record a problem, in their order. Only when all are done."""
        if self.num_done < self.num_problems:
            raise ValueError(f"{self.num_problems - self.num_done} problems still have a prefix to try")
        return [self._chosen(search) for search in self._searches.values()]

    def trials(self) -> list[PrefixTrial]:
        """Every prefix that was sampled, by problem and length."""
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

    def _undecided(self, search: _Search) -> list[int]:
        """Trials, shortest first, that may still turn out to be the shortest useful one."""
        undecided = []
        for index, trial in enumerate(search.eligible):
            if self._useful(trial):
                break
            if not self._given_up(trial):
                undecided.append(index)
        return undecided

    def _useful(self, trial: _Trial) -> bool:
        return trial.successes >= self._settings.successes

    def _given_up(self, trial: _Trial) -> bool:
        """After every `samples` rollouts there must be one success more."""
        rounds, rest = divmod(trial.samples, self._settings.samples)
        return rest == 0 and trial.successes < rounds

    def _task(self, search: _Search, index: int) -> Task:
        trial = search.trials[index]
        seed = task_seed(self._seed, "prefix", search.problem.id, index, trial.samples)
        search.outstanding[index] = seed
        size = min(CHUNK_SAMPLES, self._settings.samples - trial.samples % self._settings.samples)
        return Task(problem_id=search.problem.id, arm="guided", samples=size, guidance=trial.prefix, seed=seed)

    def _end(self, task: Task) -> tuple[_Search, int]:
        search = self._searches[task.problem_id]
        for index, seed in search.outstanding.items():
            if seed == task.seed:
                del search.outstanding[index]
                return search, index
        raise ValueError(f"no such task is outstanding: {task}")

    def _chosen(self, search: _Search) -> ChosenPrefix:
        problem = search.problem
        useful = next((i for i, trial in enumerate(search.eligible) if self._useful(trial)), search.likeliest)
        if useful is not None:
            trial = search.trials[useful]
            prefix, reason = trial.prefix, f"{trial.successes} of {trial.samples} solved"
        else:
            rng = random.Random(f"{self._seed}/fallback/{problem.id}")
            prefix = random_short_prefix(problem.solution or "", problem.answer, rng, problem.statement)
            reason = f"no useful prefix: random and short{f' ({search.failed})' if search.failed else ''}"
        return ChosenPrefix(
            problem_id=problem.id, index=useful, num_candidates=len(search.trials), prefix=prefix, reason=reason
        )
