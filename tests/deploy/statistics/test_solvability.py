import random

import pytest

from actors.evaluation.pass_at_k import pass_at_k
from deploy.report.run_records import Group
from deploy.statistics.solvability import solvability, unguided_by_rollouts, unguided_by_step


def group(problem: str, step: int, successes: int, judged: int = 8, arm: str = "unguided") -> Group:
    bucket = "easy" if arm == "easy" else "hard"
    return Group(problem, arm, bucket, step, rollouts=8, judged=judged, reward_sum=0.0, successes=successes)


def test_solvability_by_hand() -> None:
    """Two problems: a fails, then solves; b solves, then fails. Only the newest 8 rollouts of each count."""
    groups = [group("a", 1, 0), group("b", 2, 3), group("a", 6, 1), group("b", 7, 0)]
    moments = solvability(unguided_by_step(groups), 2, k=8, width=4, last=8)
    assert {window: (moment.x, moment.values) for window, moment in moments.items()} == {
        0: (4, {"a": 0.0, "b": 1.0}),
        1: (8, {"a": 1.0, "b": 0.0}),
    }
    assert moments[0].mean == 0.5


def test_an_older_group_replaces_rollouts_whose_verifier_failed() -> None:
    """4 judged, then 6: pass@8 of 10 judged with one success is 1 - C(9,8)/C(10,8) = 0.8."""
    moments = solvability(unguided_by_step([group("a", 1, 0, 4), group("a", 2, 1, 6)]), 1, k=8, width=1, last=2)
    assert list(moments) == [1]
    assert moments[1].values == pytest.approx({"a": 0.8})


def test_there_is_no_value_before_half_of_the_problems_have_k_rollouts() -> None:
    groups = unguided_by_step([group(name, step, 8) for step, name in enumerate("abcd")])
    moments = solvability(groups, 8, k=8, width=1, last=6)
    assert [(window, moment.x) for window, moment in moments.items()] == [(2, 3), (3, 4), (4, 5), (5, 6)]
    assert solvability([], 0, k=8, width=1, last=6) == {}


def test_only_unguided_groups_of_hard_problems_count_but_all_rollouts_are_spent() -> None:
    groups = [group("a", 0, 0, arm="guided"), group("a", 0, 1), group("e", 0, 8, arm="easy"), group("b", 1, 1)]
    assert [(x, g.problem_id) for x, g in unguided_by_rollouts(groups)] == [(16.0, "a"), (32.0, "b")]
    assert [(x, g.problem_id) for x, g in unguided_by_step(groups)] == [(0.0, "a"), (1.0, "b")]


@pytest.mark.parametrize("k", [8, 32])
def test_it_equals_a_slow_loop(k: int) -> None:
    random.seed(k)
    groups = []
    for _ in range(300):
        judged = random.choice([0, 5, 8, 8, 8])
        groups.append(group(f"p{random.randrange(6)}", random.randrange(60), random.randint(0, judged), judged))
    ordered = unguided_by_step(groups)
    found = solvability(ordered, 6, k, width=5, last=60)
    for window in range(12):
        values = {}
        for problem in [f"p{i}" for i in range(6)]:
            judged = successes = 0
            for _, each in reversed([pair for pair in ordered if pair[0] <= 5 * (window + 1)]):
                if each.problem_id == problem and judged < k:
                    judged, successes = judged + each.judged, successes + each.successes
            if judged >= k:
                values[problem] = pass_at_k(judged, successes, k)
        assert (window in found) == (len(values) >= 3)
        if window in found:
            assert found[window].values == pytest.approx(values)
