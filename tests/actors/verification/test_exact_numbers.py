"""The normal form of numbers with roots and pi, and that math-verify agrees."""

import random
from fractions import Fraction

import pytest

from actors.verification.exact_numbers import NotPlain, compare, read
from actors.verification.verifier_process import judge
from tests.yardstick import loops


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
        ("2^3", {(1, 0): 8}),
        ("-3^2", {(1, 0): -9}),
        ("2^{-60}", {(1, 0): Fraction(1, 2**60)}),
        ("50^{1/2}", {(2, 0): 5}),
        ("\\sqrt[3]{8}", {(1, 0): 2}),
        ("\\sqrt[4]{9}", {(3, 0): 1}),
        ("\\sqrt{\\frac{3}{4}}", {(3, 0): 0.5}),
        ("2\\frac{1}{2}", {(1, 0): 2.5}),
        ("\\frac{1}{1+\\sqrt{2}}", {(1, 0): -1, (2, 0): 1}),
        ("(3+4i)(3-4i)", {(1, 0): 25}),
        ("1/i", {(-1, 0): -1}),
        ("5!-\\binom{6}{2}", {(1, 0): 105}),
        ("\\binom{20}{10}/2^{20}", {(1, 0): Fraction(46189, 262144)}),
        ("0.1\\overline{6}", {(1, 0): Fraction(1, 6)}),
        ("0.\\dot{2}7\\dot{0}", {(1, 0): Fraction(10, 37)}),
        ("0.(3)", {(1, 0): Fraction(1, 3)}),
        ("9" * 40, {(1, 0): 10**40 - 1}),
    ],
)
def test_a_number_has_one_form(latex, value):
    assert read(latex)[0] == value


@pytest.mark.parametrize(
    "latex",
    [
        *("", "x", "1 2", "\\sqrt{2}3", "\\frac123", "2^12", "2^{3}^{4}", "\\sqrt{-1}", "\\frac{1}{0}", "0^{-1}"),
        *("1/2/3", "1/2\\pi", "2\\frac{3}{2}", "5!!", "\\sqrt{10000019}", "(1", "1)", "1..2", "2^{\\sqrt{2}}"),
        "1+" * 150 + "1",
    ],
)
def test_what_could_be_read_otherwise_is_not_read(latex):
    with pytest.raises(NotPlain):
        read(latex)


@pytest.mark.parametrize(
    "latex",
    [
        *("9^{99999}", "2^{9^{9}}", "99999!", "\\binom{10^6}{5\\cdot 10^5}", "(" * 90 + "1" + ")" * 90),
        "(" + "+".join(f"\\sqrt{{{n}}}" for n in (2, 3, 5, 7, 11, 13)) + ")^{50}",
        f"(\\frac{{{'7' * 90}}}{{{'3' * 90}}})^{{90}}" * 2,
    ],
)
def test_what_would_take_long_is_not_read(latex):
    def refused():
        with pytest.raises(NotPlain):
            read(latex)

    assert loops(refused) < 2


@pytest.mark.parametrize(
    ("reference", "answer", "equal"),
    [
        ("\\frac{1}{2}", "0.50", True),
        ("\\frac{1}{3}", "0.33", False),
        ("\\frac{1}{3}", "0.333333", True),
        ("\\frac{2}{3}", "0.666667", True),
        ("\\frac{2}{3}", "0.666666", True),
        ("\\frac{1}{3}", "0.333334", False),
        ("\\frac{1}{3}", "0.33333333333333337", True),
        ("\\frac{1}{3}", "\\frac{333333}{1000000}", False),
        ("\\sqrt{2}", "1.414", False),
        ("\\sqrt{2}", "1.414214", True),
        ("3.14159265", "\\pi", True),
        ("0.000123", "\\frac{1}{8130}", False),
        ("0.00012300", "\\frac{1}{8130}", True),
        ("0.0000003", "0.0000001", False),
        ("1", "0.99999999999999", False),
        ("2^{-60}", "0.000000", False),
        ("1.6 \\times 10^{-19}", "9.1 \\times 10^{-31}", False),
    ],
)
def test_a_decimal_of_six_places_may_be_rounded_or_cut(reference, answer, equal):
    assert compare(reference, answer) is equal
    assert compare(answer, reference) is equal


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
