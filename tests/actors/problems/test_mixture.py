"""The mixture: exact weights in every window, every problem once an epoch, a pure function."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.problems.mixture import Mixture, weighted_round_robin
from broker.errors import UsageError
from broker.records import Problem

PROBLEMS = [
    Problem(id=f"{bucket}-{i}", statement="x", answer="1", bucket=bucket, source="test")
    for bucket, count in (("hard", 5), ("easy", 3))
    for i in range(count)
]
POPE = {"unguided": 1, "guided": 1}


def test_one_to_one_is_exact_in_every_window_of_two():
    mixture = Mixture(PROBLEMS, POPE, seed=0)
    arms = [mixture.assignment(n).arm for n in range(200)]
    assert all({arms[n], arms[n + 1]} == {"unguided", "guided"} for n in range(199))


@given(
    weights=st.dictionaries(st.sampled_from(["unguided", "guided", "easy"]), st.integers(1, 7), min_size=1),
    start=st.integers(0, 50),
)
def test_every_window_of_sum_of_weights_holds_each_arm_as_often_as_its_weight(weights, start):
    mixture = Mixture(PROBLEMS, weights, seed=0)
    window = [mixture.assignment(start + n).arm for n in range(sum(weights.values()))]
    assert Counter(window) == weights


def test_the_turns_of_an_arm_are_spread_evenly():
    assert weighted_round_robin({"a": 2, "b": 1}) == ("a", "b", "a")
    assert weighted_round_robin({"a": 1, "b": 1, "c": 2}) == ("c", "a", "b", "c")
    cycle = weighted_round_robin({"a": 5, "b": 1})
    assert "".join(cycle).count("b") == 1


def test_each_arm_draws_every_problem_once_an_epoch_in_a_new_order():
    mixture = Mixture(PROBLEMS, {"unguided": 1, "guided": 1, "easy": 2}, seed=7)
    drawn = [mixture.assignment(n) for n in range(400)]
    for arm, size in (("unguided", 5), ("guided", 5), ("easy", 3)):
        ids = [a.problem_id for a in drawn if a.arm == arm]
        epochs = [tuple(ids[i : i + size]) for i in range(0, len(ids) - size + 1, size)]
        assert all(len(set(epoch)) == size for epoch in epochs)
        assert len(set(epochs)) > 1


def test_the_unguided_and_the_guided_group_of_a_problem_are_adjacent():
    mixture = Mixture(PROBLEMS, POPE, seed=3)
    for n in range(0, 100, 2):
        assert mixture.assignment(n).problem_id == mixture.assignment(n + 1).problem_id


def test_an_assignment_depends_on_group_id_and_seed_only():
    one, other = Mixture(PROBLEMS, POPE, seed=1), Mixture(PROBLEMS, POPE, seed=1)
    backwards = [other.assignment(n) for n in reversed(range(60))][::-1]
    assert [one.assignment(n) for n in range(60)] == backwards
    assert [one.assignment(n) for n in range(60)] != [Mixture(PROBLEMS, POPE, 2).assignment(n) for n in range(60)]
    assert one.assignment(10**12).group_id == 10**12


def with_prefixes(prefixes):
    return [
        Problem(id=f"hard-{i}", statement="x", answer="1", bucket="hard", source="test", solution="ab", guidance=prefix)
        for i, prefix in enumerate(prefixes)
    ]


def test_the_guided_arm_leaves_out_problems_without_a_prefix():
    mixture = Mixture(with_prefixes(["a", "", "a", "", " ", "a", None]), POPE, seed=0)
    drawn = [mixture.assignment(n) for n in range(2 * 28)]
    assert Counter(a.arm for a in drawn) == {"unguided": 28, "guided": 28}
    assert Counter(a.problem_id for a in drawn if a.arm == "unguided") == {f"hard-{i}": 4 for i in range(7)}
    assert Counter(a.problem_id for a in drawn if a.arm == "guided") == {f"hard-{i}": 7 for i in (0, 2, 5, 6)}


def test_in_every_epoch_the_guided_arm_keeps_the_order_of_the_unguided_one():
    mixture = Mixture(with_prefixes(["a", "", "a", "", "a"]), POPE, seed=4)
    drawn = [mixture.assignment(n) for n in range(200)]
    unguided, guided = ([a.problem_id for a in drawn if a.arm == arm] for arm in POPE)
    for epoch in range(20):
        order = [each for each in unguided[5 * epoch : 5 * epoch + 5] if each in ("hard-0", "hard-2", "hard-4")]
        assert guided[3 * epoch : 3 * epoch + 3] == order


def test_prefixes_of_all_problems_give_the_same_assignments_as_before_their_choice():
    chosen, not_yet = Mixture(with_prefixes("aaaaa"), POPE, 3), Mixture(with_prefixes([None] * 5), POPE, 3)
    assert [chosen.assignment(n) for n in range(60)] == [not_yet.assignment(n) for n in range(60)]


def test_a_guided_arm_without_any_prefix_is_refused():
    with pytest.raises(UsageError, match=r"arms\.guided=1, but none of the 2 hard problems has a prefix.*guided=0"):
        Mixture(with_prefixes(["", ""]), POPE, 0)
    assert Mixture(with_prefixes(["", ""]), {"unguided": 1}, 0).assignment(0).arm == "unguided"


def test_an_arm_of_weight_zero_is_never_drawn():
    mixture = Mixture(PROBLEMS, {"unguided": 1, "guided": 0, "easy": 0}, seed=0)
    assert {mixture.assignment(n).arm for n in range(10)} == {"unguided"}


def test_the_arm_easier_draws_the_easier_problems():
    easier = Problem(id="easier-0", statement="x", answer="1", bucket="easier", source="test")
    mixture = Mixture([*PROBLEMS, easier], {"unguided": 1, "easier": 1}, seed=0)
    drawn = {(a.arm, a.problem_id.partition("-")[0]) for a in map(mixture.assignment, range(40))}
    assert drawn == {("unguided", "hard"), ("easier", "easier")}


def test_impossible_arms_are_refused():
    with pytest.raises(UsageError, match="no arm has a weight above 0"):
        Mixture(PROBLEMS, {"unguided": 0}, 0)
    with pytest.raises(UsageError, match="no such arm; the arms are unguided, guided, easy, easier"):
        Mixture(PROBLEMS, {"medium": 1}, 0)
    with pytest.raises(UsageError, match=r"arms\.easy=1, but there is no easy problem"):
        Mixture(PROBLEMS[:5], {"easy": 1}, 0)
