"""Plans that sample all problems equally often: one evaluation, and the evaluations during training."""

from collections.abc import Sequence

import msgspec

from actors.evaluation.results import Result, merge
from actors.evaluation.sampling_plan import CHUNK_SAMPLES, chunks, task_seed
from broker.records import Problem, Task


def without_solutions(problems: Sequence[Problem]) -> list[Problem]:
    """The problems without solution and guidance, so that neither can leak into a prompt."""
    return [msgspec.structs.replace(problem, solution=None, guidance=None) for problem in problems]


class EvaluationPlan:
    """`samples` rollouts of each problem under one arm; its tasks do not depend on results."""

    def __init__(self, problems: Sequence[Problem], arm: str, samples: int, seed: int) -> None:
        self._problems = list(problems)
        self._arm = arm
        self._samples = samples
        self._seed = seed
        self._named = False
        self._outstanding: dict[str, set[int]] = {problem.id: set() for problem in problems}
        """Problem id -> seeds of its tasks without a result."""
        self._results: dict[str, list[Result]] = {problem.id: [] for problem in problems}
        self.failed: dict[str, str] = {}
        """Problem id -> why it could not be sampled."""

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
        """One result for each problem, in order, without problems that could not be sampled."""
        return [merge(parts) for id, parts in self._results.items() if parts and id not in self.failed]

    def _end(self, task: Task) -> None:
        if task.seed not in self._outstanding[task.problem_id]:
            raise ValueError(f"no such task is outstanding: {task}")
        self._outstanding[task.problem_id].remove(task.seed)


class ScheduledEvaluation:
    """Repeated evaluations of the same problems during training.

    All rollouts of a problem are one task, so that one engine samples them under one policy version.
    """

    def __init__(self, problems: Sequence[Problem], samples: int, seed: int) -> None:
        self._problems = list(problems)
        self._samples = samples
        self._seed = seed
        self._due: list[int] = []
        """Steps whose tasks have not been returned yet."""
        self._steps: dict[int, int] = {}
        """Seed of a task without a result -> the step of its evaluation."""
        self._missing: dict[int, int] = {}
        """Step -> number of tasks without a result."""
        self._results: dict[int, list[Result]] = {}

    @property
    def largest_task(self) -> int:
        return self._samples

    @property
    def num_problems(self) -> int:
        return len(self._problems) * len(self._missing)

    @property
    def num_done(self) -> int:
        return self.num_problems - sum(self._missing.values())

    def schedule(self, step: int) -> None:
        """Schedules the evaluation of a step; no effect if it was scheduled before."""
        if step not in self._missing:
            self._missing[step] = len(self._problems)
            self._results[step] = []
            self._due.append(step)

    def tasks(self) -> list[Task]:
        tasks = []
        for step in self._due:
            for problem in self._problems:
                seed = task_seed(self._seed, "scheduled", step, problem.id)
                self._steps[seed] = step
                tasks.append(Task(problem_id=problem.id, arm="unguided", samples=self._samples, seed=seed))
        self._due.clear()
        return tasks

    def record(self, task: Task, result: Result) -> None:
        self._results[self._end(task)].append(result)

    def fail(self, task: Task, reason: str) -> None:
        self._end(task)

    def results(self) -> dict[int, list[Result]]:
        """Step of the evaluation -> one result for each problem; empty until the evaluation is complete."""
        return {step: [] if missing else self._results[step] for step, missing in sorted(self._missing.items())}

    def _end(self, task: Task) -> int:
        step = self._steps.pop(task.seed if task.seed is not None else -1, None)
        if step is None:
            raise ValueError(f"no such task is outstanding: {task}")
        self._missing[step] -= 1
        return step
