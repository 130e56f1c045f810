"""Evaluation: every problem the same number of times, under one arm."""

from collections.abc import Sequence

import msgspec

from actors.results import Result, merge
from actors.sampling import CHUNK_SAMPLES, chunks, task_seed
from broker.records import Problem, Task


def without_solutions(problems: Sequence[Problem]) -> list[Problem]:
    """The problems as an evaluation may see them: what is not there cannot leak into a prompt."""
    return [msgspec.structs.replace(problem, solution=None, guidance=None) for problem in problems]


class EvaluationPlan:
    """`samples` rollouts of each problem; no result changes what is asked."""

    def __init__(self, problems: Sequence[Problem], arm: str, samples: int, seed: int) -> None:
        self._problems = list(problems)
        self._arm = arm
        self._samples = samples
        self._seed = seed
        self._named = False
        self._outstanding: dict[str, set[int]] = {problem.id: set() for problem in problems}
        """Problem -> seeds of its tasks that have not come back."""
        self._results: dict[str, list[Result]] = {problem.id: [] for problem in problems}
        self.failed: dict[str, str] = {}
        """Problem -> why it could not be sampled."""

    @property
    def largest_task(self) -> int:
        return min(self._samples, CHUNK_SAMPLES)

    @property
    def num_problems(self) -> int:
        return len(self._problems)

    @property
    def num_done(self) -> int:
        return sum(not seeds for seeds in self._outstanding.values()) if self._named else 0

    def tasks(self) -> list[Task]:
        if self._named:
            return []
        self._named = True
        tasks = []
        for problem in self._problems:
            for number, size in enumerate(chunks(self._samples)):
                seed = task_seed(self._seed, "evaluation", self._arm, problem.id, number)
                tasks.append(Task(problem_id=problem.id, arm=self._arm, samples=size, seed=seed))
                self._outstanding[problem.id].add(seed)
        return tasks

    def record(self, task: Task, result: Result) -> None:
        self._end(task)
        self._results[task.problem_id].append(result)

    def fail(self, task: Task, reason: str) -> None:
        self._end(task)
        self.failed[task.problem_id] = reason

    def results(self) -> list[Result]:
        """One result a problem, in their order; without those that could not be sampled."""
        return [merge(parts) for id, parts in self._results.items() if parts and id not in self.failed]

    def _end(self, task: Task) -> None:
        if task.seed not in self._outstanding[task.problem_id]:
            raise ValueError(f"no such task is outstanding: {task}")
        self._outstanding[task.problem_id].remove(task.seed)
