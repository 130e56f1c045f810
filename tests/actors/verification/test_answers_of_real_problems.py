"""The rules reject no correct answer: the reference answers and the boxes of 2,999 real problems."""

from collections import Counter

import pytest

from actors.problems.reference_answers import clean_answer
from actors.verification.answer_rules import decide, reference_form
from actors.verification.answers import claimed_answers
from actors.verification.typography import undressed
from actors.verification.verifier_process import judge, judge_all
from tests.actors.shared_data import MISSING, REASON, solved_problems

pytestmark = pytest.mark.skipif(MISSING, reason=REASON)

LOST = {
    "540": "boxes six intermediate intervals",
}
"""AIME solutions that box other results before the answer in the same paragraph."""


def verdict(gold, answer):
    decision = decide(*undressed(gold, answer))
    if isinstance(decision, str):
        return decision
    return judge_all([{"references": decision.references, "answer": decision.answer}])


def spellings(gold):
    """The same answer as a model may write it."""
    yield f" ${gold}$."
    yield gold.replace("\\frac", "\\dfrac")
    yield gold.replace("(", "\\left(").replace(")", "\\right)").replace("\\left\\left", "\\left")
    if "=" not in gold:
        yield f"x = {gold}"


def test_every_reference_answer_verifies_against_its_own_spellings():
    problems = list(solved_problems())
    failed = [(p.answer, s) for p in problems for s in spellings(p.answer) if verdict(p.answer, s) != "correct"]
    assert len(problems) == 2999
    assert failed == []


def test_math_verify_itself_knows_every_reference_answer_again():
    """Without the rules, which accept equal texts. Two reference answers are invalid: prose and a data error."""
    answers = {reference_form(clean_answer(problem.answer)) for problem in solved_problems()}
    unknown = [gold for gold in answers if judge(gold, None) != "correct" or judge(gold, gold) != "correct"]
    assert sorted(gold[:6] for gold in unknown) == ["f(x)=a", "t(0,4]"]


def test_the_boxes_of_human_solutions_are_right():
    outcomes = Counter()
    lost = set()
    for problem in solved_problems():
        for solution in problem.solutions:
            claims = claimed_answers(solution)
            right = bool(claims) and all(verdict(problem.answer, claim) == "correct" for claim in claims)
            outcomes[problem.source, "right" if right else "lost" if claims else "no box"] += 1
            if claims and not right:
                lost.add(problem.answer)
    assert lost == set(LOST)
    assert outcomes["aime", "right"] == 972
    assert outcomes["aime", "no box"] == 2
    assert outcomes["aime24", "right"] == 30
    assert outcomes["olympiadbench", "no box"] == 846, "they box nothing"
