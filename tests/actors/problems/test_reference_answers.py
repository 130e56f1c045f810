"""Reference answers: how they are cleaned, and which have an obvious fault."""

import pytest

from actors.problems.reference_answers import answer_kind, clean_answer, obvious_fault


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
    ("written", "read"),
    [
        ("Answer: 19", "19"),
        ("The answer is 5.", "5"),
        ("Therefore, 12.", "12"),
        ("Thus $x=5$", "x=5"),
        ("so be it", "so be it"),
        ("ANSWER = 7", "7"),
        ("So, the final answer is: $\\boxed{5}$.", "5"),
        ("Final answer: $\\frac12$", "\\frac12"),
        ("**Answer:** 31", "31"),
        ("Ans. 12", "12"),
        ("The correct answer to the problem is $-3$", "-3"),
        ("\u7b54\u6848\uff1a12\u3002", "12"),
        ("#### 42", "42"),
        ("= 5", "5"),
        ("\\text{The answer is }5", "5"),
        ("There are 12", "12"),
        ("The number of pairs is 14.", "14"),
        ("5 is the answer", "5"),
        ("x = \\boxed{5}", "5"),
        ("\\boxed 7", "7"),
        ("\\fbox{7}", "7"),
        ("**12**", "12"),
        ("\\(7\\)", "7"),
        ("`7`", "7"),
        ("<answer>7</answer>", "7"),
        ("a is odd", "a is odd"),
        ("The answer is", "The answer is"),
        ("1e-07", "0.0000001"),
        ("2E5", "200000"),
        ("0.30000000000000004", "0.3"),
        ("0.6666666666666666", "\\frac{2}{3}"),
        ("1.5e-7", "0.00000015"),
        ("2e-1", "2e-1"),
        ("e-1", "e-1"),
        ("0.333...", "0.333..."),
        ("<b>12</b>", "12"),
        ("2e", "2e"),
    ],
)
def test_what_data_sets_write_around_an_answer_is_removed(written, read):
    assert clean_answer(written) == read
    assert clean_answer(read) == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("(B) 7", "(B) 7"),
        ("B. 7", "(B) 7"),
        ("B) 7", "(B) 7"),
        ("[B] 7", "(B) 7"),
        ("Option (B): 7", "(B) 7"),
        ("$\\textbf{(C) } \\frac{1}{2}$", "(C) \\frac{1}{2}"),
        ("\\textbf{(D)}\\ -7", "(D) -7"),
        ("The correct option is (C)", "C"),
        ("Option C", "C"),
        ("C.", "C"),
        ("\\text{(C)}", "C"),
        ("(A) \\cup B", "(A) \\cup B"),
        ("(B) - 7", "(B) - 7"),
        ("(A, B)", "(A, B)"),
        ("C(5,2)", "C(5,2)"),
        ("(A) 1 (B) 2", "(A) 1 (B) 2"),
    ],
)
def test_a_label_of_multiple_choice_has_one_form(written, read):
    assert clean_answer(written) == read
    assert clean_answer(read) == read


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ("(a) 3 (b) 5", "has several labelled parts"),
        ("0.333...", "is a decimal that was cut"),
        ("2e-7", "may mean a power of ten or the number e"),
        ("12\n13", "has several lines"),
        ("1.7320508075688772", "is the rounded number 1.7320508075688772"),
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
