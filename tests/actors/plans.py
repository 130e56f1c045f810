"""Simulated sampling: every problem and prefix has a known solve rate, and a loop runs a plan against them."""

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
    """The simulated result of a task, a function of the task alone."""
    rng = random.Random(task.seed)
    assert task.samples is not None
    return result(task.problem_id, sum(rng.random() < rate(task) for _ in range(task.samples)), task.samples)


def sample(plan: SamplingPlan, rate: Rate, *, order: int = 0, log: list[tuple[Task, Result]] | None = None) -> int:
    """Run the plan until it is done, with results in random order. Returns the rollouts; `log` collects the results."""
    rng = random.Random(order)
    waiting: list[Task] = []
    rollouts = 0
    while plan.num_done < plan.num_problems:
        waiting += plan.tasks()
        assert waiting, "the plan is not done and names no task"
        task = waiting.pop(rng.randrange(len(waiting)))
        answer = outcome(task, rate)
        rollouts += answer.samples
        if log is not None:
            log.append((task, answer))
        plan.record(task, answer)
    assert plan.tasks() == []
    return rollouts
