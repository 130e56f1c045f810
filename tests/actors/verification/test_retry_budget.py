"""Second trials of slow comparisons cost at most a share of the time."""

from actors.verification.retry_budget import FREE_TRIALS, RetryBudget


def test_a_comparison_that_timed_out_twice_is_not_tried_a_second_time_again():
    budget = RetryBudget(deadline_s=2.0, clock=lambda: 0.0)
    assert budget.allows("a")
    budget.add("a", 2.0, timed_out=True)
    assert not budget.allows("a")
    assert budget.allows("b")
    budget.add("b", 2.0, timed_out=False)
    assert budget.allows("b")


def test_second_trials_take_a_tenth_of_the_time_after_the_free_ones():
    now = [0.0]
    budget = RetryBudget(deadline_s=2.0, clock=lambda: now[0])
    for number in range(FREE_TRIALS + 1):
        assert budget.allows(f"slow {number}")
        budget.add(f"slow {number}", 2.0, timed_out=True)
    assert not budget.allows("another")
    now[0] = 19.9
    assert not budget.allows("another")
    now[0] = 20.0
    assert budget.allows("another")


def test_the_memory_of_slow_comparisons_is_bounded(monkeypatch):
    monkeypatch.setattr("actors.verification.retry_budget.MAX_KNOWN", 2)
    budget = RetryBudget(deadline_s=2.0, clock=lambda: 0.0)
    for name in "abc":
        budget.add(name, 0.0, timed_out=True)
    assert [budget.allows(name) for name in "abc"] == [True, False, False]
