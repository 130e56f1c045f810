"""Rejection sampling: how many responses are sampled, and which become demonstrations."""

import msgspec
import pytest

from actors.problems.catalog import load_problems
from actors.problems.joined_solutions import REFERS_TO_PREFIX
from actors.problems.rejection_sampling import (
    DUPLICATE,
    TRUNCATED,
    CandidateResponse,
    DemonstrationPool,
    RejectionSampling,
)
from actors.prompts import unguided_message
from broker.records import Task
from conf.schema import ProblemSettings
from tests.actors.plans import result, sample

PROBLEMS = [
    msgspec.structs.replace(problem, guidance="\n".join((problem.solution or "").split("\n")[:2]))
    for problem in load_problems(ProblemSettings(num_hard=3, chain_steps=5), 0)
]
FIRST, SECOND, THIRD = (problem.id for problem in PROBLEMS)


def solution(index: int) -> str:
    return PROBLEMS[index].solution or ""


def rest(index: int) -> str:
    return "\n".join(solution(index).split("\n")[2:])


def right(text: str, *, finished: bool = True) -> CandidateResponse:
    return CandidateResponse(text=text, correct=True, finished=finished)


WRONG = CandidateResponse(text="So $\\boxed{a}$.", correct=False, finished=True)


def test_a_problem_is_sampled_until_enough_responses_are_correct() -> None:
    plan = RejectionSampling({FIRST: (2, 0), SECOND: (1, 0), THIRD: (1, 0)}, max_samples=40, seed=0)
    rates = {FIRST: 0.0, SECOND: 1.0, THIRD: 0.0}
    log: list = []
    rollouts = sample(plan, lambda task: rates[task.problem_id], log=log)
    assert rollouts == 40 + 16 + 40
    assert [task.samples for task, _ in log if task.problem_id == FIRST] == [16, 16, 8]
    assert {task.arm for task, _ in log} == {"guided"}
    assert len({task.seed for task, _ in log}) == len(log)


def test_the_rounds_of_problems_are_independent() -> None:
    plan = RejectionSampling({FIRST: (1, 0), SECOND: (1, 0)}, max_samples=32, seed=0)
    first, second = plan.tasks()
    assert plan.tasks() == []
    plan.record(first, result(FIRST, 0, 16))
    (again,) = plan.tasks()
    assert (again.problem_id, plan.num_done) == (FIRST, 0)
    plan.record(second, result(SECOND, 3, 16))
    assert plan.num_done == 1
    with pytest.raises(ValueError, match="no such task"):
        plan.record(second, result(SECOND, 3, 16))


def test_a_later_plan_has_new_seeds_and_only_the_rest_of_the_budget() -> None:
    def tasks(taken: int) -> list[Task]:
        return RejectionSampling({FIRST: (1, taken)}, max_samples=40, seed=0).tasks()

    seeds = {taken: tasks(taken)[0].seed for taken in (0, 16, 32)}
    assert len(set(seeds.values())) == 3
    assert tasks(32)[0].samples == 8
    assert tasks(40) == []


def test_a_problem_with_a_too_long_prompt_is_not_sampled_further() -> None:
    plan = RejectionSampling({FIRST: (1, 0)}, max_samples=40, seed=0)
    (task,) = plan.tasks()
    plan.fail(task, "prompt_too_long")
    assert plan.num_done == 1
    assert plan.failed == {FIRST: "prompt_too_long"}
    pool = DemonstrationPool(PROBLEMS[:1], completions=1, max_samples=40)
    pool.fail(FIRST, plan.failed[FIRST])
    assert pool.needed() == {}
    assert [row.reason for row in pool.left_out()] == ["prompt_too_long"]


def test_correct_responses_become_complete_solutions_of_the_unguided_problem() -> None:
    pool = DemonstrationPool(PROBLEMS, completions=1, max_samples=32)
    pool.add(FIRST, [WRONG, right(rest(0)), right(solution(0))])
    pool.add(SECOND, [WRONG, WRONG, right(solution(1))])  # restated first
    pool.add(THIRD, [WRONG] * 32)
    found = pool.demonstrations()
    assert [(d.problem_id, d.response) for d in found] == [(FIRST, solution(0)), (SECOND, solution(1))]
    assert [d.prompt for d in found] == [unguided_message(problem.statement) for problem in PROBLEMS[:2]]
    assert pool.needed() == {}
    (row,) = pool.left_out()
    assert (row.problem_id, row.reason, row.detail) == (THIRD, "no correct completion", "in 32 samples")


def test_correct_responses_that_cannot_be_used_are_counted_and_replaced() -> None:
    pool = DemonstrationPool(PROBLEMS[:1], completions=2, max_samples=16)
    refers = f"As the partial response shows, we go on.\n{rest(0)}"
    pool.add(FIRST, [right(refers), right(rest(0), finished=False), right(rest(0)), right(solution(0))])
    assert pool.needed() == {FIRST: (1, 4)}, "a duplicate is not a second demonstration"
    pool.add(FIRST, [right(f"We continue.\n{rest(0)}"), right(f"Now.\n{rest(0)}")])
    assert pool.needed() == {}
    assert len(pool.demonstrations()) == 2

    none = DemonstrationPool(PROBLEMS[:1], completions=1, max_samples=4)
    none.add(FIRST, [right(refers), right(refers), right(rest(0), finished=False), WRONG])
    (row,) = none.left_out()
    assert row.reason == "no usable completion"
    assert row.detail == f"2 {REFERS_TO_PREFIX}, 1 {TRUNCATED}, in 4 samples"
    assert DUPLICATE not in row.detail


def test_guidance_begins_the_thought_of_a_response_that_thinks() -> None:
    pool = DemonstrationPool(PROBLEMS[:1], completions=1, max_samples=4)
    pool.add(FIRST, [right(f"<think>\nNow the rest.\n</think>\n{rest(0)}")])
    (found,) = pool.demonstrations()
    assert found.response == f"<think>\n{PROBLEMS[0].guidance}\nNow the rest.\n</think>\n{rest(0)}"
