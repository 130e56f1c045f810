"""Which prefix is chosen and at what cost, independent of the order of the results."""

import random

import pytest

from actors.problems.catalog import load_problems
from actors.problems.prefix_search import ChosenPrefix, PrefixSearch, count_kinds, describe_kinds
from broker.records import Problem, Task
from conf.schema import GuidanceSettings, ProblemSettings
from tests.actors.plans import result, sample

HARD = load_problems(ProblemSettings(num_hard=4, chain_steps=8), 0)
SETTINGS = GuidanceSettings(num_prefixes=8, samples=16, at_once=1)


def problem(id: str, solution: str, guidance: str | None = None) -> Problem:
    return Problem(
        id=id, statement="?", answer="12", bucket="hard", source="test", solution=solution, guidance=guidance
    )


def from_line(needed: dict[str, int | None]):
    """A rate function: every rollout with at least so many guidance lines is correct; None: no rollout is."""

    def rate(task: Task) -> float:
        lines = needed[task.problem_id]
        return 1.0 if lines is not None and (task.guidance or "").count("\n") + 1 >= lines else 0.0

    return rate


def test_the_shortest_useful_prefix_is_chosen_and_the_cost_is_known():
    needed = {HARD[0].id: 1, HARD[1].id: 3, HARD[2].id: 7, HARD[3].id: None}
    search = PrefixSearch(HARD, SETTINGS, seed=0)
    assert sample(search, from_line(needed)) == 16 * (1 + 3 + 7 + 7)
    chosen = {choice.problem_id: choice for choice in search.chosen()}
    assert [chosen[p.id].index for p in HARD] == [0, 2, 6, None]
    assert [chosen[p.id].prefix.count("\n") + 1 for p in HARD[:3]] == [1, 3, 7]
    tried = [(t.index, t.samples, t.successes) for t in search.trials() if t.problem_id == HARD[1].id]
    assert tried == [(0, 16, 0), (1, 16, 0), (2, 16, 16)]


def test_a_useful_prefix_has_a_success_in_every_round():
    """With 16 samples and 2 successes: the first prefix has one success by luck, the third solves one in sixteen."""
    settings = GuidanceSettings(num_prefixes=8, samples=16, successes=2, at_once=1)
    solved = {0: [1, 0], 1: [0], 2: [1, 1]}
    search = PrefixSearch(HARD[:1], settings, seed=0)
    places: list[int] = []
    prefixes: list[str] = []
    while tasks := search.tasks():
        (task,) = tasks
        if task.guidance not in prefixes:
            prefixes.append(task.guidance or "")
        places.append(prefixes.index(task.guidance or ""))
        search.record(task, result(HARD[0].id, solved[places[-1]].pop(0), task.samples or 0))
    assert places == [0, 0, 1, 2, 2]
    (choice,) = search.chosen()
    assert choice.index == 2
    assert choice.reason == "2 of 32 solved"


def test_without_a_useful_prefix_the_one_with_the_highest_solve_rate_is_chosen():
    settings = GuidanceSettings(num_prefixes=4, samples=16, successes=2, at_once=1)
    solved = iter([1, 0, 0, 1, 0])  # 1 of 32, 0 of 16, 1 of 32: the shorter of two equal ones
    search = PrefixSearch(HARD[:1], settings, seed=0)
    while tasks := search.tasks():
        search.record(tasks[0], result(HARD[0].id, next(solved), 16))
    (choice,) = search.chosen()
    assert (choice.index, choice.reason) == (0, "1 of 32 solved")


def test_three_successes_come_closer_to_the_shortest_useful_prefix_than_one():
    """Solve rates that triple with each step, as in the built-in domain. Useful is a prefix that solves 1 of 32."""
    problems = load_problems(ProblemSettings(num_hard=200, chain_steps=8), 0)
    rates = {p.id: [3.0 ** (k + random.Random(p.id).uniform(-8, -5)) for k in range(7)] for p in problems}

    def rate(task: Task) -> float:
        return min(1.0, rates[task.problem_id][(task.guidance or "").count("\n")])

    near = {}
    for successes in (1, 3):
        settings = GuidanceSettings(num_prefixes=8, samples=32, successes=successes, at_once=1)
        search = PrefixSearch(problems, settings, seed=0)
        sample(search, rate)
        best = {name: next((i for i, r in enumerate(each) if r >= 1 / 32), None) for name, each in rates.items()}
        pairs = [(c.index, best[c.problem_id]) for c in search.chosen() if best[c.problem_id] is not None]
        near[successes] = sum(index is not None and abs(index - i) <= 1 for index, i in pairs) / len(pairs)
    assert near[3] >= 0.8
    assert near[3] > near[1]


def test_without_any_success_the_guidance_is_random_and_shorter_than_a_quarter():
    prefixes = set()
    for seed in range(8):
        search = PrefixSearch(HARD[:1], SETTINGS, seed)
        sample(search, lambda task: 0.0)
        (choice,) = search.chosen()
        assert choice.index is None
        assert HARD[0].solution.startswith(choice.prefix)
        assert len(choice.prefix) < len(HARD[0].solution) / 4
        prefixes.add(choice.prefix)
    assert len(prefixes) > 1


@pytest.mark.parametrize("at_once", [1, 2, 3, 7])
def test_the_choice_and_the_cost_do_not_depend_on_the_order_of_results(at_once: int):
    settings = GuidanceSettings(num_prefixes=8, samples=40, at_once=at_once)

    def rate(task: Task) -> float:
        return 0.02 * ((task.guidance or "").count("\n") + 1)

    outcomes = []
    for order in range(6):
        search = PrefixSearch(HARD, settings, seed=3)
        rollouts = sample(search, rate, order=order)
        outcomes.append((search.chosen(), search.trials(), rollouts))
    assert all(each == outcomes[0] for each in outcomes)


@pytest.mark.parametrize("at_once", [2, 3])
def test_sampling_several_prefixes_at_once_does_not_change_the_choice(at_once: int):
    """A prefix is chosen only after every shorter one has failed all its samples."""

    def rate(task: Task) -> float:
        return 0.015 * ((task.guidance or "").count("\n") + 1)

    chosen = []
    for width in (1, at_once):
        search = PrefixSearch(HARD, GuidanceSettings(num_prefixes=8, samples=32, at_once=width), seed=5)
        sample(search, rate)
        chosen.append([choice.index for choice in search.chosen()])
        samples = {(t.problem_id, t.index): t for t in search.trials()}
        for choice in search.chosen():
            for index in range(choice.index if choice.index is not None else choice.num_candidates):
                assert samples[choice.problem_id, index].samples == 32
                assert samples[choice.problem_id, index].successes == 0
    assert chosen[0] == chosen[1]


def test_a_search_that_is_replayed_after_a_kill_ends_the_same():
    def rate(task: Task) -> float:
        return 0.01 * ((task.guidance or "").count("\n") + 1)

    settings = GuidanceSettings(num_prefixes=8, samples=40, at_once=2)
    whole = PrefixSearch(HARD, settings, seed=1)
    log: list = []
    sample(whole, rate, order=1, log=log)
    for stop in range(0, len(log), 3):
        again = PrefixSearch(HARD, settings, seed=1)
        waiting: set[Task] = set()
        for task, found in log[:stop]:
            waiting.update(again.tasks())
            assert task in waiting
            again.record(task, found)
            waiting.remove(task)
        for task in sorted(waiting, key=lambda task: task.seed or 0):
            again.record(task, next(found for named, found in log if named == task))
        sample(again, rate, order=random.Random(stop).randrange(99))
        assert (again.chosen(), again.trials()) == (whole.chosen(), whole.trials())


def test_a_prefix_too_long_for_the_prompt_rules_out_the_longer_ones():
    search = PrefixSearch(HARD[:1], GuidanceSettings(num_prefixes=8, samples=16, at_once=3), seed=0)
    first = search.tasks()
    assert len(first) == 3
    search.fail(first[1], "prompt_too_long")
    search.record(first[2], result(HARD[0].id, 5, 16))
    search.record(first[0], result(HARD[0].id, 0, 16))
    assert search.num_done == 1
    (choice,) = search.chosen()
    assert choice.index is None
    assert "prompt_too_long" in choice.reason
    assert len(choice.prefix) < len(first[1].guidance or "")


def test_a_problem_without_any_prefix_is_not_sampled_and_its_guidance_is_empty():
    long_step = problem("long", "One single step that takes more than a quarter of it all. So \\boxed{12}.")
    shown = problem("shown", "There are 12 of them. Hence \\boxed{12}.")
    search = PrefixSearch([shown, long_step, HARD[0]], SETTINGS, seed=0)
    log: list = []
    sample(search, lambda task: 0.0, log=log)
    assert {task.problem_id for task, _ in log} == {"long", HARD[0].id}
    chosen = search.chosen()
    assert [(choice.prefix != "", choice.kind) for choice in chosen] == [
        (False, "none"), (False, "none"), (True, "fallback"),
    ]  # fmt: skip
    assert chosen[0].reason.startswith("no useful prefix: none, because")


def test_kinds_of_guidance_are_counted_for_all_hard_problems_with_a_choice():
    choices = [
        ChosenPrefix(problem_id="a", index=0, num_candidates=2, prefix="x", reason=""),
        ChosenPrefix(problem_id="b", index=None, num_candidates=2, prefix="x", reason=""),
        ChosenPrefix(problem_id="c", index=None, num_candidates=0, prefix="", reason=""),
    ]
    guided = [problem(name, "s", prefix) for name, prefix in zip("abcdef", ["x", "x", "", "x", "", None], strict=True)]
    kinds = count_kinds(guided, choices)
    assert kinds == {"useful": 1, "given": 1, "by_share": 0, "fallback": 1, "none": 2}
    assert describe_kinds(kinds) == (
        "1 hard problems with a useful prefix, 1 with a given one, 1 with a random short one, 2 without "
        "(trained unguided only)"
    )


def test_a_search_refuses_results_of_tasks_that_are_not_outstanding():
    search = PrefixSearch(HARD[:1], SETTINGS, seed=0)
    with pytest.raises(ValueError, match="still have a prefix to try"):
        search.chosen()
    (task,) = search.tasks()
    search.record(task, result(HARD[0].id, 1, 16))
    with pytest.raises(ValueError, match="no such task"):
        search.record(task, result(HARD[0].id, 1, 16))
    with pytest.raises(ValueError, match="no solution"):
        PrefixSearch([Problem(id="x", statement="x", answer="1", bucket="hard", source="t")], SETTINGS, 0)
