from actors.evaluate import Count, mean_pass_at_k


def test_the_mean_is_over_problems():
    counts = [Count("a", 4, 4, 0), Count("b", 4, 0, 0)]
    assert mean_pass_at_k(counts, [1, 4]) == {"pass@1": 0.5, "pass@4": 0.5}
