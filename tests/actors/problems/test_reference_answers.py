"""Reference answers: how they are cleaned, which have an obvious fault, and which math-verify must parse."""

import pytest

from actors.problems.problem_set import ProblemSet, RejectedRow
from actors.problems.reference_answers import answer_kind, check_answers, clean_answer, obvious_fault
from broker.records import Problem
from conf.schema import VerifierSettings


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("$\\frac{1}{2}$", "\\frac{1}{2}"),
        ("$69$,$84$", "69,84"),
        ("$221,$8$", "221,8"),
        ("\\$18", "\\$18"),
        ("\\boxed{7}", "7"),
        ("$\\boxed{\\boxed{7}}$.", "7"),
        ("\\boxed{1}, \\boxed{2}", "\\boxed{1}, \\boxed{2}"),
        ("(-\\infty, 0) \\cup\\{1\\}.", "(-\\infty, 0) \\cup\\{1\\}"),
        ("1\\,000", "1000"),
        ("70 000", "70000"),
        ("2500,7500", "2500,7500"),
        ("m_{\\max }=n^{2}-n-1", "n^{2}-n-1"),
        ("x_1=2", "x_1=2"),
        ("033", "033"),
    ],
)
def test_latex_wrappers_are_removed_from_an_answer(written, read):
    assert clean_answer(written) == read
    assert clean_answer(read) == read


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ("1" * 1001, "has 1001 characters, the limit is 1000"),
        ("\\frac{1}{2", "has unbalanced braces"),
        ("There exist infinitely many such n", "is a sentence"),
        ("f(x)=ax, where b is an arbitrary integer", "is a sentence"),
    ],
)
def test_an_answer_that_no_response_can_match_has_an_obvious_fault(answer, complaint):
    assert complaint in obvious_fault(answer)


@pytest.mark.parametrize(
    "answer",
    ["42", "3 \\text{ hours and } 20 \\text{ minutes}", "ab + bc + ca + abc", "\\sin a \\cos b", "sin a cos b",
     "Monday", "\\begin{pmatrix} a & b \\\\ c & d \\end{pmatrix}", "12 square centimetres"],
)  # fmt: skip
def test_formulas_and_units_are_not_taken_for_sentences(answer):
    assert obvious_fault(answer) is None


def test_the_kinds_of_answers():
    answers = ("-7", "0.5", "\\frac{1}{2}", "1,2", "x=2", "\\text{even}", "2\\sqrt{3}")
    kinds = ["integer", "number", "number", "several values", "equation", "words", "expression"]
    assert [answer_kind(answer) for answer in answers] == kinds


def problem(id, answer):
    return Problem(id=id, statement=id, answer=answer, bucket="hard", source="test")


def test_answers_that_math_verify_cannot_parse_are_rejected_in_the_order_of_their_rows():
    earlier = RejectedRow(2, "b", "duplicate", "the same statement as a")
    found = ProblemSet(
        [problem("a", "t(0,4]"), problem("c", "42"), problem("d", "\\frac{1}{2}"), problem("e", "\\frac{3}")],
        [earlier],
        {"a": 1, "c": 3, "d": 4, "e": 5},
    )
    asked = []
    checked = check_answers(found, VerifierSettings(), lambda done, total: asked.append((done, total)))
    assert [p.id for p in checked.problems] == ["c", "d"]
    assert [(r.row, r.id, r.reason) for r in checked.rejected] == [
        (1, "a", "unparsable_answer"), (2, "b", "duplicate"), (5, "e", "unparsable_answer"),
    ]  # fmt: skip
    assert "'t(0,4]' cannot be verified: math-verify finds no expression" in checked.rejected[0].detail
    assert asked == [(1, 3), (2, 3), (3, 3)]
    assert checked.explain() == "2 problems; rejected rows: 2 unparsable_answer, 1 duplicate"


def test_integers_and_products_of_powers_start_no_process(monkeypatch):
    monkeypatch.setattr("actors.problems.reference_answers.VerifierPool", None)
    found = ProblemSet([problem("a", "42"), problem("b", "a^4b^0c^4")])
    assert check_answers(found, VerifierSettings()) is found
