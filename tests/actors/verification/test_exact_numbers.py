"""The normal form of numbers with roots and pi, and that math-verify agrees."""

import random

import pytest

from actors.verification.exact_numbers import NotPlain, compare, read
from actors.verification.verifier_process import judge


@pytest.mark.parametrize(
    ("latex", "value"),
    [
        ("42", {(1, 0): 42}),
        ("-0", {}),
        ("\\frac{84}{2}", {(1, 0): 42}),
        ("\\sqrt{72}", {(2, 0): 6}),
        ("3\\sqrt{8}", {(2, 0): 6}),
        ("\\frac{12}{\\sqrt{2}}", {(2, 0): 6}),
        ("\\sqrt{2}\\sqrt{6}", {(3, 0): 2}),
        ("2\\pi^2-\\pi", {(1, 2): 2, (1, 1): -1}),
        ("(1+\\sqrt2)\\cdot (1-\\sqrt2)", {(1, 0): -1}),
        ("\\pi/2 - 1", {(1, 1): 0.5, (1, 0): -1}),
    ],
)
def test_a_number_has_one_form(latex, value):
    assert read(latex)[0] == value


@pytest.mark.parametrize(
    "latex",
    [
        *("", "x", "1 2", "\\sqrt{2}3", "2\\frac{1}{2}", "\\frac123", "2^3", "-3^2", "\\sqrt{-1}", "\\frac{1}{0}"),
        *("1/2/3", "\\frac{1}{1+\\sqrt{2}}", "\\sqrt[3]{8}", "\\sqrt{10000019}", "(1", "1)", "1..2", "9" * 19),
        "1+" * 60 + "1",
    ],
)
def test_what_could_be_read_otherwise_is_not_read(latex):
    with pytest.raises(NotPlain):
        read(latex)


def test_decimals_are_equal_exactly_different_clearly_or_left_to_math_verify():
    assert compare("\\frac{1}{2}", "0.50") is True
    assert compare("\\frac{1}{3}", "0.33") is False
    assert compare("\\frac{1}{3}", "0.333333") is None
    assert compare("\\sqrt{2}", "1.414") is None
    assert compare("\\frac{1}{3}", "\\frac{333333}{1000000}") is False


def test_math_verify_agrees():
    rng = random.Random(0)

    def number():
        a, b, n, d = rng.randrange(-3, 4), rng.randrange(1, 4), rng.choice([2, 3, 8, 12, 18]), rng.randrange(1, 4)
        forms = ["{a}+{b}\\sqrt{{{n}}}", "\\frac{{{b}\\sqrt{{{n}}}}}{{{d}}}", "\\frac{{{b}}}{{\\sqrt{{{n}}}}}"]
        forms += ["\\frac{{{a}\\pi}}{{{d}}}", "\\frac{{{a}}}{{{d}}}", "{b}\\pi-{a}", "\\sqrt{{{n}}}\\sqrt{{{b}}}"]
        return rng.choice(forms).format(a=a, b=b, n=n, d=d).replace("--", "+")

    decided = {True: 0, False: 0}
    for _ in range(120):
        gold, answer = number(), number()
        equal = compare(gold, answer)
        assert (judge(gold, answer) == "correct") is equal, (gold, answer)
        decided[equal] += 1
    assert min(decided.values()) > 0
