r"""Values of answer columns: numbers, lists and placeholders of every kind, as text that a response can match."""

from decimal import Decimal

import pytest

from actors.problems.answer_values import NoAnswer, Unmatchable, answer_text, asks_for_proof, missing_answer


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (" 7 ", "7"),
        (12.0, "12"),
        (-0.0, "0"),
        (2e5, "200000"),
        (3e-07, "0.0000003"),
        (-1.5e-3, "-0.0015"),
        (6.02e23, "602000000000000000000000"),
        (-4.5e-60, "-4.5\\times 10^{-60}"),
        (1e100, "1\\times 10^{100}"),
        (0.1 + 0.2, "0.3"),
        (99.99999999999999, "100"),
        (2 / 3, "\\frac{2}{3}"),
        (-100 / 7, "-\\frac{100}{7}"),
        (0.0000152587890625, "0.0000152587890625"),
        (12345678901234.5, "12345678901234.5"),
        (10**40 + 1, "1" + 39 * "0" + "1"),
        (Decimal("12.50"), "12.5"),
        (Decimal("7.00"), "7"),
        ([3, 5], "3, 5"),
        ([4.0], "4"),
        (["1/2", "0.5"], "1/2"),
        ([[1, 2], [3, 4]], "(1, 2), (3, 4)"),
        (["$x=1$", "$x=2$"], "$x=1$, $x=2$"),
        ("['3', '5']", "3, 5"),
        ('["\\\\frac{1}{2}"]', "\\frac{1}{2}"),
        ("[3, 5]", "[3, 5]"),
    ],
)
def test_a_value_is_written_as_a_response_writes_it(value, text):
    assert answer_text(value) == text


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), Decimal("NaN"), [], [None], ["3", "N/A"]])
def test_a_missing_value_is_no_answer(value):
    with pytest.raises(NoAnswer):
        answer_text(value)


@pytest.mark.parametrize("value", [True, False, 2**0.5, 3.141592653589793, 0.1234567890123456])
def test_truth_values_and_rounded_numbers_match_nothing(value):
    with pytest.raises(Unmatchable):
        answer_text(value)


@pytest.mark.parametrize(
    "text",
    ["", "  ", "None", "null", "N/A", "NA", "nan", "-", "\u2014", "?", "???", "...", "TBD", "unknown.", "no answer",
     "Not found", "See solution", "inf",
     "see attached", "[]", "{}", "()", "\\text{None}", "\\boxed{}", "**none**", "$?$", "___", "answer",
     "#N/A", "\\dots", "\u65e0"],
)  # fmt: skip
def test_a_placeholder_is_a_missing_answer(text):
    assert missing_answer(text)


@pytest.mark.parametrize(
    "text",
    ["0", "no", "no solution", "none of these", "\\emptyset", "\\{\\}", "\u2205", "\\infty", "\u03c0", "x", "na",
     "See that both sides are squares.",
     "empty set", "\\text{DNE}", "-1", "E"],
)  # fmt: skip
def test_an_answer_that_resembles_a_placeholder_is_kept(text):
    assert missing_answer(text) is None


def test_proof_in_place_of_an_answer_asks_for_a_proof():
    assert asks_for_proof("Proof.")
    assert asks_for_proof("\\text{Q.E.D.}")
    assert not asks_for_proof("80 proof")
