r"""The solution of a row is chosen by its final answer; contradicting, marked and cut ones are dropped and counted."""

import json

import pytest

from actors.problems.catalog import load_problem_set
from actors.problems.problem_sources import read_source
from broker.errors import UsageError
from conf.schema import ProblemSettings

ROW = {"problem": "What is 14*14?", "answer": "196"}
RIGHT, WRONG, BARE = "It is \\boxed{196}.", "It is \\boxed{186}.", "Multiply, then add."


def read(tmp_path, *rows):
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps({**ROW, **row}) + "\n" for row in rows))
    return read_source(ProblemSettings(source=str(path)), 0)


@pytest.mark.parametrize(
    ("row", "chosen", "dropped"),
    [
        ({"solution": RIGHT}, RIGHT, []),
        ({"solution": BARE}, BARE, []),
        ({"solution": WRONG}, None, ["contradicts_answer"]),
        ({"solution": "First \\boxed{14}, so \\boxed{196}."}, "First \\boxed{14}, so \\boxed{196}.", []),
        ({"solution": "Ten fours.\n#### 140"}, None, ["contradicts_answer"]),
        ({"solution": [WRONG, BARE, RIGHT]}, RIGHT, ["contradicts_answer"]),
        ({"solution": BARE, "generations": [RIGHT]}, BARE, []),
        ({"solution": WRONG, "generations": [RIGHT]}, RIGHT, ["contradicts_answer"]),
        ({"generations": [WRONG, RIGHT], "correctness_math_verify": [False, True]}, RIGHT, ["contradicts_answer"]),
        ({"generations": [WRONG, RIGHT]}, RIGHT, ["contradicts_answer"]),
        ({"generations": [BARE, RIGHT], "correctness_math_verify": [False, True]}, RIGHT, ["marked_wrong"]),
        ({"generations": [RIGHT + "!", RIGHT], "is_correct": [0, 1]}, RIGHT, ["marked_wrong"]),
        ({"generations": [RIGHT], "correctness_math_verify": [False], "correctness_llama": [True]}, RIGHT, []),
        ({"generations": [RIGHT], "correctness_math_verify": [None]}, RIGHT, []),
        ({"generations": [BARE, RIGHT + "!"], "is_reasoning_complete": [False, True]}, RIGHT + "!", ["incomplete"]),
        ({"generations": ["<think>\nIs it \\boxed{186}?\n</think>\n" + RIGHT]},
         "<think>\nIs it \\boxed{186}?\n</think>\n" + RIGHT, []),
        ({"generations": [WRONG, WRONG + "!"]}, None, ["contradicts_answer", "contradicts_answer"]),
        ({"solutions": [{"text": RIGHT}]}, RIGHT, []),
        ({"generations": [{"text": BARE, "correct": False}, {"text": RIGHT}]}, RIGHT, ["marked_wrong"]),
        ({"generations": ["<think>\nIs it \\boxed{196}?", RIGHT]}, RIGHT, ["incomplete"]),
        ({"solution": "N/A"}, None, []),
        ({"solution": [float("nan"), BARE]}, BARE, []),
        ({"generations": []}, None, []),
    ],
)  # fmt: skip
def test_the_first_usable_solution_is_chosen_and_the_wrong_ones_are_dropped_by_name(tmp_path, row, chosen, dropped):
    found = read(tmp_path, row)
    assert [problem.solution for problem in found.problems] == [chosen]
    assert [solution.reason for solution in found.dropped_solutions] == dropped
    assert not found.rejected


def test_a_dropped_solution_is_shown_with_both_answers(tmp_path):
    (dropped,) = read(tmp_path, {}, {"problem": "And 15*15?", "answer": "225", "solution": WRONG}).dropped_solutions
    assert dropped.row == 2
    assert dropped.detail == "\"solution\" ends with the answer '186', the reference answer is '225'"


STEPS = "Add three threes.\nThat is three and three, and three more of them.\nCount them all.\nIt is \\boxed{9}."


def test_a_guided_run_rejects_a_problem_whose_solutions_were_all_dropped(tmp_path):
    rows = [{"solution": WRONG}, {"problem": "And 3*3?", "answer": "9", "solution": STEPS}]
    read(tmp_path, *rows)
    source = str(tmp_path / "set.jsonl")
    guided = load_problem_set(ProblemSettings(source=source), 0)
    assert [problem.answer for problem in guided.problems] == ["9"]
    assert guided.reasons() == {"no_usable_solution": 1}
    assert len(load_problem_set(ProblemSettings(source=source, arms={"unguided": 1}), 0).problems) == 2
    read(tmp_path, rows[1], {})
    with pytest.raises(UsageError, match=r"has no solution, but problems\.arms.guided is above 0"):
        load_problem_set(ProblemSettings(source=source), 0)
