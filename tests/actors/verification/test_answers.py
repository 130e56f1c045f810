"""The claims of a response, and the comparisons that need no computer algebra."""

import random

import pytest

from actors.verification.answers import claimed_answers, compare_plainly


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("so \\boxed{42}.", ["42"]),
        ("\\boxed{1} no, \\boxed{2}", ["1", "2"]),
        ("\\boxed{2} and \\boxed{2}", ["2"]),
        ("\\boxed{\\frac{1}{2}} done", ["\\frac{1}{2}"]),
        ("\\boxed{\\{1, 2\\}}", ["\\{1, 2\\}"]),
        ("\\boxed{ 7 }", ["7"]),
        ("\\boxed {7}", ["7"]),
        ("<think>\\boxed{1}</think> It is \\boxed{2}.", ["2"]),
        ("<think>\\boxed{1}</think> I do not know.", []),
        ("\\boxed{1} <think>\\boxed{2}", []),
        ("no box, 42", []),
        ("cut off \\boxed{4", []),
        ("\\boxed{1} and then cut off \\boxed{4", []),
        ("\\boxed{}", []),
        ("\\boxed{  }", []),
        ("\\boxed{} \\boxed{3}", ["3"]),
        ("\\boxed{\\boxed{3}}", ["{3}"]),
        ("\\boxed{4, \\boxed{3}}", ["4, {3}"]),
        ("\\boxed{1\\}", []),
        ("} { \\boxed{1} }", ["1"]),
        ("", []),
    ],
)
def test_what_is_boxed_after_the_last_thought_is_claimed(text, claims):
    assert claimed_answers(text) == tuple(claims)


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("\\boxed{42} is wrong.", []),
        ("\\boxed{42}$ was clearly incorrect", []),
        ("\\boxed{42} is not the answer", []),
        ("it is not $\\boxed{42}$", []),
        ("it isn't \\boxed{42}", []),
        ("\\boxed{42} is not wrong", ["42"]),
        ("\\boxed{42}. That 41 is wrong is clear.", ["42"]),
        ("\\boxed{41} is wrong, so \\boxed{42}", ["41", "42"]),
        ("\\boxed{42}. Wait, let me check. Yes.", ["42"]),
        ("\\boxed{42} Final answer: 41", ["42", "41"]),
        ("\\boxed{42} **Final Answer**: $4\\frac12$", ["42", "4\\frac12"]),
        ("\\boxed{42} the correct answer is \\(41\\)", ["42", "41"]),
        ("\\boxed{42} The final answer is 42.", ["42"]),
        ("\\boxed{42} The final answer is as above.", ["42"]),
        ("Final answer: 41? No: \\boxed{42}", ["42"]),
    ],
)
def test_what_follows_the_last_box_may_take_it_back_or_claim_another(text, claims):
    assert claimed_answers(text) == tuple(claims)


@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        ("anything at all", "anything at all", True),
        ("042", "42", True),
        ("-3", "3", False),
        ("0", "-0", True),
        ("a^2b^0", "a^2", True),
        ("a^2b^3", "b^3a^2", True),
        ("a^2b^3", "a^2b^4", False),
        ("a^{12}", "a^{12}", True),
        ("a^{12}", "a^{13}", False),
        ("a^{2}", "a^2", True),
        ("a^12", "a^13", None),  # LaTeX: a^1 times 2
        ("42", "42.0", None),
        ("42", "a^2", None),
        ("a^2", "e^2", None),
        ("a^2", "i^2", None),
        ("1/2", "0.5", None),
        ("9" * 30, "8" * 30, None),
    ],
)
def test_plain_answers_are_compared_exactly_and_the_rest_is_left_to_math_verify(gold, answer, equal):
    assert compare_plainly(gold, answer) is equal


def test_chains_are_decided_without_math_verify():
    rng = random.Random(0)
    for _ in range(500):
        gold, answer = ("".join(f"{name}^{rng.randrange(10)}" for name in "abcdfghj") for _ in range(2))
        assert compare_plainly(gold, answer) is (gold == answer)
