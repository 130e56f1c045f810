import msgspec
import pytest

from actors.evaluation.intervals import wilson
from actors.evaluation.results import Result, evaluation_report, result_of
from tests.groups import completion


def result(problem_id="a", source="hard", *, correct=0, wrong=0, timeout=0, crash=0, truncated=0, tokens=10):
    """`tokens` a sample."""
    verdicts = {"correct": correct, "wrong": wrong, "timeout": timeout, "crash": crash}
    samples = sum(verdicts.values())
    return Result(
        problem_id=problem_id,
        source=source,
        samples=samples,
        verdicts=verdicts,
        truncated=truncated,
        completion_tokens=tokens * samples,
        longest_completion_tokens=tokens,
        policy_version=7,
    )


def test_completions_are_counted():
    completions = [
        completion(1.0, num_tokens=3, version=5),
        completion(0.0, num_tokens=4, version=4, verdict="no_answer"),
        completion(None, num_tokens=9, version=6),
    ]
    assert result_of("a", "AIME25", completions) == Result(
        problem_id="a",
        source="AIME25",
        samples=3,
        verdicts={"correct": 1, "no_answer": 1, "timeout": 1},
        truncated=0,
        completion_tokens=16,
        longest_completion_tokens=9,
        policy_version=4,
    )


def test_a_sample_whose_verifier_failed_is_no_attempt():
    """2 of 4 judged, not 2 of 8: pass@1 is 50 %, pass@4 certain, and pass@5 cannot be estimated."""
    failed = result(correct=2, wrong=2, timeout=3, crash=1)
    assert (failed.samples, failed.judged, failed.successes) == (8, 4, 2)
    (hard,) = evaluation_report({"hard": [failed]}, [1, 4, 5], "base").sets
    assert [score.value for score in hard.scores] == [0.5, 1.0, None]
    assert [score.problems for score in hard.scores] == [1, 1, 0]


def test_an_answer_that_cannot_be_read_is_judged_and_wrong():
    completions = [completion(0.0, verdict="unparsable"), completion(0.0, verdict="no_answer"), completion(1.0)]
    counted = result_of("a", "hard", completions)
    assert (counted.judged, counted.successes) == (3, 1)


def test_a_problem_with_too_few_judged_samples_is_left_out_of_that_k_alone():
    few, many = result("few", wrong=2, timeout=6), result("many", correct=4, wrong=4)
    (hard,) = evaluation_report({"hard": [few, many]}, [1, 4], "base").sets
    one, four = hard.scores
    assert (one.value, one.problems) == (0.25, 2)
    assert four.value == pytest.approx(1 - 1 / 70)  # C(4, 4) / C(8, 4)
    assert four.problems == 1


def test_a_set_is_summed_and_its_problems_are_kept():
    results = [
        result("b", correct=3, wrong=5, truncated=2, tokens=20),
        result("a", correct=1, wrong=6, crash=1, truncated=1),
    ]
    (hard,) = evaluation_report({"hard": results}, [1], "base").sets
    assert (hard.samples, hard.truncated) == (16, 3)
    assert hard.verdicts == {"correct": 4, "wrong": 11, "no_answer": 0, "unparsable": 0, "timeout": 0, "crash": 1}
    assert (hard.completion_tokens, hard.longest_completion_tokens) == (240, 20)
    assert [r.problem_id for r in hard.results] == ["a", "b"]
    assert hard.score(1) == hard.scores[0]
    assert hard.score(2) is None


def test_the_order_of_the_problems_changes_nothing():
    results = [result(str(i), correct=i, wrong=8 - i) for i in range(8)]
    assert evaluation_report({"hard": results}, [1, 4], "x") == evaluation_report({"hard": results[::-1]}, [1, 4], "x")


def test_the_solve_rate_of_a_problem_has_an_interval_when_something_was_judged():
    unsolved, unjudged = result(correct=0, wrong=8), result(timeout=8)
    assert wilson(unsolved.successes, unsolved.judged) == pytest.approx((0, 3.8415 / 11.8415), abs=1e-4)
    assert (unjudged.successes, unjudged.judged) == (0, 0)
    with pytest.raises(ValueError, match="at least one sample"):
        wilson(unjudged.successes, unjudged.judged)


@pytest.mark.parametrize(
    ("sets", "ks", "message"),
    [
        ({"hard": []}, [1], "hard has no results"),
        ({"AIME25": [result(wrong=1)]}, [1], "AIME25 holds results of hard"),
        ({"hard": [result(wrong=1), result(correct=1)]}, [1], "holds a twice"),
        ({"hard": [result(wrong=1)]}, [0], "from 1"),
        ({"hard": [result(wrong=1)]}, [2, 2], "different"),
        ({"hard": [result(wrong=1)]}, [], "ks must"),
    ],
)
def test_a_report_of_what_does_not_belong_together_is_refused(sets, ks, message):
    with pytest.raises(ValueError, match=message):
        evaluation_report(sets, ks, "base")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": 9}, "9 samples, but verdicts"),
        ({"samples": 0, "verdicts": {}}, "at least one sample"),
        ({"verdicts": {"correct": 9, "wrong": -1}}, "no negative count"),
        ({"truncated": 9}, "9 truncated of 8 samples"),
            ({"truncated": 1, "unfinished": 2}, "2 unfinished of 1 truncated"),
    ],
)
def test_a_result_that_contradicts_itself_is_refused(change, message):
    good = result(correct=3, wrong=5)
    with pytest.raises(ValueError, match=message):
        Result(**(msgspec.structs.asdict(good) | change))
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(good) | change), type=Result)
