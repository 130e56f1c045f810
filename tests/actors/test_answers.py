"""Finding the box, and the comparisons that need no computer algebra."""

import random

import pytest

from actors.answers import boxed_answer, compare_plainly


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("so \\boxed{42}.", "42"),
        ("\\boxed{1} no, \\boxed{2}", "2"),
        ("\\boxed{\\frac{1}{2}} done", "\\frac{1}{2}"),
        ("\\boxed{\\{1, 2\\}}", "\\{1, 2\\}"),
        ("\\boxed{ 7 }", "7"),
        ("<think>\\boxed{1}</think> It is \\boxed{2}.", "2"),
        ("<think>\\boxed{1}</think> I do not know.", None),
        ("no box, 42", None),
        ("cut off \\boxed{4", None),
        ("\\boxed{1} and then cut off \\boxed{4", None),
        ("\\boxed{}", None),
        ("\\boxed{  }", None),
        ("\\boxed{\\boxed{3}}", "3"),
        ("\\boxed{1\\}", None),
        ("", None),
    ],
)
def test_the_last_box_after_the_last_thought_is_the_answer(text, answer):
    assert boxed_answer(text) == answer


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
