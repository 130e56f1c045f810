import pytest

from actors.evaluation.evaluation_plan import EvaluationPlan, ScheduledEvaluation, without_solutions
from broker.records import Problem
from tests.actors.plans import result, sample

PROBLEMS = [
    Problem(id=f"p{i}", statement="S.", answer="1", bucket="hard", source="t", solution="Because.", guidance="Be")
    for i in range(3)
]


def test_every_problem_gets_all_its_samples_once():
    plan = EvaluationPlan(PROBLEMS, "unguided", 40, seed=0)
    tasks = plan.tasks()
    assert [task.samples for task in tasks] == [16, 16, 8] * 3
    assert len({task.seed for task in tasks}) == 9
    assert plan.num_done == 0
    again = EvaluationPlan(PROBLEMS, "unguided", 40, seed=0)
    assert sample(again, lambda task: 1.0 if task.problem_id == "p1" else 0.0) == 120
    assert [(r.problem_id, r.samples, r.successes) for r in again.results()] == [
        ("p0", 40, 0), ("p1", 40, 40), ("p2", 40, 0),
    ]  # fmt: skip


def test_what_an_evaluation_samples_holds_no_solution_and_no_guidance():
    for problem in without_solutions(PROBLEMS):
        assert problem.solution is None
        assert problem.guidance is None


def test_a_problem_that_cannot_be_sampled_is_named_and_left_out():
    plan = EvaluationPlan(PROBLEMS[:2], "unguided", 16, seed=0)
    first, second = plan.tasks()
    plan.fail(first, "prompt_too_long")
    plan.record(second, result("p1", 4, 16))
    assert plan.num_done == 2
    assert [r.problem_id for r in plan.results()] == ["p1"]
    with pytest.raises(ValueError, match="no such task"):
        plan.record(second, result("p1", 4, 16))


def test_scheduled_evaluations_keep_a_problem_in_one_task_and_a_step_apart_from_another():
    plan = ScheduledEvaluation(PROBLEMS, 24, seed=0)
    assert plan.tasks() == []
    plan.schedule(10)
    plan.schedule(10)
    first = plan.tasks()
    assert [(task.problem_id, task.samples) for task in first] == [("p0", 24), ("p1", 24), ("p2", 24)]
    plan.schedule(20)
    second = plan.tasks()
    assert not {task.seed for task in first} & {task.seed for task in second}
    for task in first[:2]:
        plan.record(task, result(task.problem_id, 6, 24))
    assert plan.results() == {10: [], 20: []}
    plan.fail(first[2], "attempts")
    assert [r.problem_id for r in plan.results()[10]] == ["p0", "p1"]
    assert (plan.num_done, plan.num_problems) == (3, 6)
    with pytest.raises(ValueError, match="no such task"):
        plan.record(first[0], result("p0", 6, 24))


def test_a_scheduled_evaluation_asks_for_the_same_after_a_resume():
    plans = [ScheduledEvaluation(PROBLEMS, 4, seed=7) for _ in range(2)]
    tasks = []
    for plan in plans:
        plan.schedule(50)
        tasks.append(plan.tasks())
    assert tasks[0] == tasks[1]
