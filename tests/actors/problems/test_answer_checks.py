r"""Reference answers that the verifier cannot parse or match are rejected; open solutions are compared by it."""

import msgspec
import pytest

from actors.problems.answer_checks import check_answers, spellings
from actors.problems.problem_set import ProblemSet, RejectedRow
from actors.problems.solutions import Candidate, judge
from broker.records import Problem
from conf.schema import VerifierSettings


def problem(id, answer):
    return Problem(id=id, statement=id, answer=answer, bucket="hard", source="test")


def test_answers_that_math_verify_cannot_parse_are_rejected_in_the_order_of_their_rows():
    earlier = RejectedRow(2, "b", "duplicate", "the same statement as a")
    found = ProblemSet(
        [problem("a", "t(0,4]"), problem("c", "42"), problem("d", "\\frac{1}{2}"), problem("e", "s[2,7)")],
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
    monkeypatch.setattr("actors.problems.answer_checks.VerifierPool", None)
    found = ProblemSet([problem("a", "42"), problem("b", "a^4b^0c^4")])
    assert check_answers(found, VerifierSettings()) is found


@pytest.mark.parametrize(
    ("answer", "others"),
    [
        ("42", []),
        ("\\frac{1}{2}", ["\\dfrac{1}{2}"]),
        ("x+1", ["x + 1"]),
        ("x = 1", ["x=1"]),
        ("\\text{a-b}", []),
        ("(-1, 2]", ["(-1,2]"]),
        ("-5", []),
        ("2\\sqrt{3}-\\frac{1}{x}", ["2\\sqrt{3} - \\dfrac{1}{x}"]),
    ],
)
def test_natural_spellings_differ_in_blanks_and_fractions_only(answer, others):
    assert list(spellings(answer)) == others


class Pool:
    """Finds every answer parsable, and matches nothing but what is written alike."""

    def __init__(self, settings):
        pass

    async def judge_reference(self, reference):
        return "correct"

    async def judge(self, text, reference):
        return "correct" if text == f"\\boxed{{{reference}}}" else "wrong"

    def close(self):
        pass


def test_an_answer_whose_natural_spelling_is_wrong_is_rejected_with_that_spelling(monkeypatch):
    monkeypatch.setattr("actors.problems.answer_checks.VerifierPool", Pool)
    monkeypatch.setattr("actors.problems.answer_checks.decide", lambda reference, _: reference == "x+y" and "correct")
    found = ProblemSet([problem("a", "x+y"), problem("b", "y+y^{2}"), problem("c", "\\sqrt{2}")], rows={"a": 4, "b": 5})
    checked = check_answers(found, VerifierSettings())
    assert [p.id for p in checked.problems] == ["a", "c"]
    (rejected,) = checked.rejected
    assert (rejected.row, rejected.reason) == (5, "unmatchable_answer")
    assert "the same answer written 'y + y^{2}' is judged wrong" in rejected.detail


def test_common_answers_match_their_natural_spellings():
    answers = ["\\frac{1}{2}", "3, 5", "x^{2}+1", "(-\\infty, 3]", "\\frac{2\\sqrt{3}-1}{4}", "\\text{even}", "y=2x+1"]
    found = ProblemSet([problem(f"{n}", answer) for n, answer in enumerate(answers)])
    assert [row.detail for row in check_answers(found, VerifierSettings()).rejected] == []


def test_a_solution_that_only_computer_algebra_can_compare_is_dropped_if_it_contradicts():
    answer = "\\frac{x+1}{2}"
    texts = ["So \\boxed{\\frac{x}{2}+1}.", "So \\boxed{\\frac{x}{2}+\\frac{1}{2}}."]
    judged = tuple(judge(Candidate(text, f"solution.{n}"), answer) for n, text in enumerate(texts))
    assert [each.standing for each in judged] == ["open", "open"]
    first = msgspec.structs.replace(problem("a", answer), solution=texts[0])
    checked = check_answers(ProblemSet([first], rows={"a": 7}, open_solutions={"a": judged}), VerifierSettings())
    assert [p.solution for p in checked.problems] == [texts[1]]
    assert [(d.row, d.id, d.reason) for d in checked.dropped_solutions] == [(7, "a", "contradicts_answer")]
    assert checked.explain() == "1 problems; rejected rows: none; dropped solutions: 1 contradicts_answer"
    assert not checked.open_solutions
