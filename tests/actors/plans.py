"""A world in which every problem and prefix has a known solve rate, and a loop that samples it for a plan."""

import random
from collections.abc import Callable

from actors.evaluation.results import Result
from actors.evaluation.sampling_plan import SamplingPlan
from broker.records import Task

Rate = Callable[[Task], float]
"""True probability that a rollout of this task is correct."""


def result(problem_id: str, successes: int, samples: int, *, unfinished: int = 0, unjudged: int = 0) -> Result:
    wrong = samples - successes - unjudged
    return Result(
        problem_id=problem_id,
        source="test",
        samples=samples,
        verdicts={"correct": successes, "wrong": wrong, "timeout": unjudged},
        truncated=unfinished,
        completion_tokens=10 * samples,
        longest_completion_tokens=12,
        policy_version=0,
        unfinished=unfinished,
    )


def outcome(task: Task, rate: Rate) -> Result:
    """What the engine would answer: a function of the task alone."""
    rng = random.Random(task.seed)
    assert task.samples is not None
    return result(task.problem_id, sum(rng.random() < rate(task) for _ in range(task.samples)), task.samples)


def sample(plan: SamplingPlan, rate: Rate, *, order: int = 0, log: list[tuple[Task, Result]] | None = None) -> int:
    """Until the plan is done, results in a random order. Returns the rollouts; `log` gets what came back."""
    rng = random.Random(order)
    waiting: list[Task] = []
    rollouts = 0
    while plan.num_done < plan.num_problems:
        waiting += plan.tasks()
        assert waiting, "the plan is not done and wants nothing"
        task = waiting.pop(rng.randrange(len(waiting)))
        answer = outcome(task, rate)
        rollouts += answer.samples
        if log is not None:
            log.append((task, answer))
        plan.record(task, answer)
    assert plan.tasks() == []
    return rollouts
