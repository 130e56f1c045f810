"""Sorts problems into buckets by the solve rate of a model (POPE sections 2 and 3.2; hard: no success in 128 samples).

A sample is evidence if it was finished and judged. Samples that were cut by the token budget, or on which the verifier
failed, are counted separately; a problem with too little evidence gets no bucket.
"""

from collections.abc import Mapping, Sequence

from actors.evaluation.intervals import wilson
from actors.evaluation.results import Result, merge
from actors.evaluation.sampling_plan import CHUNK_SAMPLES, task_seed
from broker.records import Problem, Record, Task
from conf.schema import MiningSettings


class MinedProblem(Record, frozen=True):
    """The result of mining one problem."""

    problem_id: str
    bucket: str | None
    """hard, easy or easier; None when the solve rate lies in no bucket or is unknown."""
    reason: str
    """Why the problem has this bucket, or none."""
    samples: int
    successes: int
    evidence: int
    """Samples that were finished and judged."""
    truncated: int
    """Samples cut by the token budget and not correct. They are not evidence."""
    unjudged: int
    """Samples whose verifier timed out or crashed."""
    lower: float
    upper: float
    """`lower`, `upper`: 95 % Wilson interval of the solve rate over the evidence."""
    mean_completion_tokens: float
    longest_completion_tokens: int


class MiningPlan:
    """Samples each problem in rounds of one task until its bucket is certain or its samples are used up.

    A `SamplingPlan`.
    """

    def __init__(self, problems: Sequence[Problem], settings: MiningSettings, seed: int) -> None:
        self._settings = settings
        self._seed = seed
        self._waiting = [problem.id for problem in problems]
        """Ids of problems whose next task has not been returned yet."""
        self._outstanding: dict[str, int] = {}
        """Problem id -> seed of the task whose result has not been recorded yet."""
        self._results: dict[str, Result | None] = {problem.id: None for problem in problems}
        self.failed: dict[str, str] = {}
        """Problem id -> why it could not be sampled."""

    @property
    def largest_task(self) -> int:
        return min(self._settings.samples, CHUNK_SAMPLES)

    @property
    def num_problems(self) -> int:
        return len(self._results)

    @property
    def num_done(self) -> int:
        return len(self._results) - len(self._waiting) - len(self._outstanding)

    def tasks(self) -> list[Task]:
        tasks = [self._next_task(problem_id) for problem_id in self._waiting]
        self._waiting.clear()
        return tasks

    def record(self, task: Task, result: Result) -> None:
        self._close(task)
        so_far = self._results[task.problem_id]
        total = result if so_far is None else merge([so_far, result])
        self._results[task.problem_id] = total
        if decide_bucket(total, self._settings) is None:
            self._waiting.append(task.problem_id)

    def fail(self, task: Task, reason: str) -> None:
        self._close(task)
        self.failed[task.problem_id] = reason

    def mined(self) -> list[MinedProblem]:
        """One record for each problem that was sampled, in the order of the problems."""
        return [self._mined(result) for result in self._results.values() if result is not None]

    def _next_task(self, problem_id: str) -> Task:
        so_far = self._results[problem_id]
        taken = 0 if so_far is None else so_far.samples
        seed = task_seed(self._seed, "mining", problem_id, taken)
        self._outstanding[problem_id] = seed
        size = min(CHUNK_SAMPLES, self._settings.samples - taken)
        return Task(problem_id=problem_id, arm="unguided", samples=size, seed=seed)

    def _close(self, task: Task) -> None:
        if self._outstanding.get(task.problem_id) != task.seed:
            raise ValueError(f"no such task is outstanding: {task}")
        del self._outstanding[task.problem_id]

    def _mined(self, result: Result) -> MinedProblem:
        failed = self.failed.get(result.problem_id)
        bucket, reason = (None, failed) if failed else decide_bucket(result, self._settings) or (None, "not finished")
        evidence = result.evidence
        interval = wilson(result.successes, evidence) if evidence else None
        return MinedProblem(
            problem_id=result.problem_id,
            bucket=bucket,
            reason=reason,
            samples=result.samples,
            successes=result.successes,
            evidence=evidence,
            truncated=result.unfinished,
            unjudged=result.samples - result.judged,
            lower=interval.lower if interval else 0.0,
            upper=interval.upper if interval else 1.0,
            mean_completion_tokens=result.completion_tokens / result.samples,
            longest_completion_tokens=result.longest_completion_tokens,
        )


def decide_bucket(result: Result, settings: MiningSettings) -> tuple[str | None, str] | None:
    """(bucket or None, reason) once no further sample can change the bucket; None before that.

    With s successes in e samples of evidence and r samples left, the final solve rate lies between s / (e + r), if all
    of them fail, and (s + r) / (e + r), if all succeed.
    """
    left = settings.samples - result.samples
    most_evidence = result.evidence + left
    needed = settings.min_evidence * settings.samples
    if most_evidence < needed or most_evidence == 0:
        return None, (
            f"{result.unfinished} of {result.samples} samples were cut by the token budget and "
            f"{result.samples - result.judged} not judged: too little evidence"
        )
    lowest, highest = result.successes / most_evidence, (result.successes + left) / most_evidence
    bucket = bucket_of(lowest, settings.buckets)
    if left and (result.evidence < needed or not _same_bucket(lowest, highest, settings.buckets)):
        return None
    rate = f"{result.successes} of {result.evidence}"
    return bucket, f"{rate} solved" + (f", certain after {result.samples} of {settings.samples}" if left else "")


def bucket_of(rate: float, buckets: Mapping[str, Sequence[float]]) -> str | None:
    """The bucket whose closed interval contains the rate; None if there is none."""
    return next((name for name, (low, high) in buckets.items() if low <= rate <= high), None)


def _same_bucket(lowest: float, highest: float, buckets: Mapping[str, Sequence[float]]) -> bool:
    """Whether all rates between the two are in the same bucket, or all in none."""
    bucket = bucket_of(lowest, buckets)
    if bucket is not None:
        return highest <= buckets[bucket][1]
    return all(high < lowest or low > highest for low, high in buckets.values())
