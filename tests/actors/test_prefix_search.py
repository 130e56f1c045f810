"""Which prefix is chosen, at what cost, whatever the order in which results come back."""

import random

import pytest

from actors.problems.catalog import load_problems
from actors.problems.prefix_search import PrefixSearch
from broker.records import Problem, Task
from conf.schema import GuidanceSettings, ProblemSettings
from tests.actors.plans import result, sample

HARD = load_problems(ProblemSettings(num_hard=4, chain_steps=8), 0)
SETTINGS = GuidanceSettings(num_prefixes=8, samples=16, at_once=1)


def from_line(needed: dict[str, int | None]):
    """Every rollout is correct from so many given lines on; None: never."""

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


def test_without_a_useful_prefix_the_guidance_is_random_and_shorter_than_a_quarter():
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
def test_prefixes_at_once_choose_what_one_at_a_time_chooses(at_once: int):
    """Every shorter prefix has failed all its samples before a longer one is taken."""

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


def test_a_search_that_was_killed_and_replayed_ends_the_same():
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


def test_a_search_refuses_what_it_did_not_ask_for():
    search = PrefixSearch(HARD[:1], SETTINGS, seed=0)
    with pytest.raises(ValueError, match="still have a prefix to try"):
        search.chosen()
    (task,) = search.tasks()
    search.record(task, result(HARD[0].id, 1, 16))
    with pytest.raises(ValueError, match="no such task"):
        search.record(task, result(HARD[0].id, 1, 16))
    with pytest.raises(ValueError, match="no solution"):
        PrefixSearch([Problem(id="x", statement="x", answer="1", bucket="hard", source="t")], SETTINGS, 0)
