r"""Writes the value of an answer column as the text that a response can match. Pure.

    12.0 -> 12      1e5 -> 100000      1e-7 -> 0.0000001      [3, 5] -> 3, 5      0.30000000000000004 -> 0.3
    0.3333333333333333 -> \frac{1}{3}  ["1/2"] -> 1/2         "['3', '5']" -> 3, 5

A value that stands for "no answer" (null, NaN, `N/A`, `see solution`) raises `NoAnswer`; a number that was rounded by
its type and a truth value raise `Unmatchable`.
"""

import ast
import math
import re
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from actors.verification.answer_rules import decide

MAX_PLAIN_DIGITS = 40
"""A number with more digits is written as a multiple of a power of ten."""
MAX_REFERENCE_CHARS = 30
"""`see the attached sheet` is shorter than a solution that begins with `See`."""
ROUNDED_DIGITS = 15
"""Decimal digits that a float holds; a number with as many was rounded, or is the trace of binary arithmetic."""
ROUNDED_DECIMALS = 10
"""A number with fewer digits after the point was not rounded there."""
MAX_DENOMINATOR = 1000
"""Largest denominator of a fraction that a rounded float is recognised as."""

_PLACEHOLDERS = frozenset(
    (
        "none", "null", "nil", "nan", "inf", "-inf", "nat", "n/a", "n.a", "#n/a", "#value!", "#ref!", "#name?", "<na>",
        "<none>", "<null>", "missing", "blank", "empty", "unknown", "unk", "unsolved", "unanswered", "pending",
        "omitted", "omit", "skip", "skipped", "tbd", "tba", "todo", "to do", "error", "answer", "final answer",
        "final_answer", "ans",
        "solution", "no answer", "no answer given", "no answer provided", "no answer available", "no final answer",
        "none given", "none provided", "not available", "not applicable", "not provided", "not found", "notfound",
        "not given", "not known", "answer not found", "answer not given", "answer not provided", "answer unknown",
        "unknown answer", "to be determined", "to be added", "your answer", "your answer here", "see solution",
        "see solutions", "see the solution", "see above", "see below", "see answer", "see explanation", "see text",
        "see figure", "\\dots", "\\ldots",
        "\u65e0", "\u6682\u65e0", "\u7565", "\u89c1\u89e3\u6790", "\u65e0\u7b54\u6848", "\u7b54\u6848\u7565",
        "\u672a\u77e5",
    )
)  # fmt: skip
"""Texts in place of a missing answer, undressed and in lower case. `no solution`, `no` and `empty set` are answers."""
_PROOFS = frozenset(
    ("proof", "proof omitted", "proved", "proven", "q.e.d", "qed", "see proof", "\u8bc1\u660e", "\u8bc1\u660e\u7565")
)
_WRAPPER = re.compile(r"\\(?:text|mathrm|textbf|mbox|boxed)\s*\{([^{}]*)\}")
_SCIENTIFIC = re.compile(
    r"[+-]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+|1)e[+-]?[0-9]{1,4}|[0-9]+e[0-9]{1,4}|[0-9]+e[+-][0-9]{2,4})", re.IGNORECASE
)
"""Numbers as programs print them. `2e-1` is none: programs write 0.2, so it is 2 times e minus 1."""
_AMBIGUOUS = re.compile(r"[+-]?[0-9]+e-[7-9]", re.IGNORECASE)
_CUT_DECIMAL = re.compile(r"[+-]?[0-9]*\.[0-9]+\s*(?:\.\.\.|\u2026|\\[lc]?dots)")
_LONG_DECIMAL = re.compile(r"[+-]?[0-9]*\.[0-9]{15,}")
_QUOTED_LIST = re.compile(r"""\[\s*(?:'[^']*'|"[^"]*")\s*(?:,\s*(?:'[^']*'|"[^"]*")\s*)*,?\s*\]""")


class NoAnswer(ValueError):
    """The value stands for a missing answer. The message is the predicate of a sentence about the column."""


class Unmatchable(ValueError):
    """No response writes this value. The message is the predicate of a sentence about the column."""


def answer_text(value: Any) -> str:
    """The text of an answer value. Raises NoAnswer, Unmatchable, and TypeError for objects and other types."""
    if value is None:
        raise NoAnswer("is empty; write the answer itself, or remove the row")
    if isinstance(value, bool):
        raise Unmatchable(f'is a JSON bool; write the word that a response would box, such as "{value}" or "yes"')
    if isinstance(value, int | float | Decimal):
        return _number(value)
    if isinstance(value, str):
        items = _quoted_items(value)
        return value.strip() if items is None else answer_text(items)
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return _list(value)
    raise TypeError(type(value).__name__)


def missing_answer(text: str) -> str | None:
    """Why a text is no answer, as a predicate; None if it may be one. `text` is cleaned of dollar signs and boxes."""
    if not text.strip():
        return "is empty; write the answer itself, or remove the row"
    bare = _bare(text)
    refers = len(bare) < MAX_REFERENCE_CHARS and bare.startswith(("see ", "refer to "))
    if refers or bare in _PLACEHOLDERS or text.strip() == "NA" or not re.search(r"[^\W_]|[∅∞]|\\", bare):
        return f"is {text[:40]!r}, which stands for a missing answer; write the answer itself, or remove the row"
    return None


def asks_for_proof(text: str) -> bool:
    """Whether a text in place of the answer says that the solution is a proof."""
    return _bare(text) in _PROOFS


def matchable_number(text: str) -> str:
    """A number in the notation of a programming language, such as 1e-07, as a response writes it; else the text.

    Raises Unmatchable for a number that was rounded or cut, or may mean something else.
    """
    if _CUT_DECIMAL.fullmatch(text):
        raise Unmatchable("is a decimal that was cut; write the exact number")
    if _AMBIGUOUS.fullmatch(text):
        raise Unmatchable("may mean a power of ten or the number e; write 10^{-7} or \\mathrm{e}")
    if _SCIENTIFIC.fullmatch(text):
        return _number(Decimal(text))
    if _LONG_DECIMAL.fullmatch(text):
        return _number(Decimal(text))
    return text


def _bare(text: str) -> str:
    """A text in lower case without the dress in which data sets write a placeholder."""
    text = _WRAPPER.sub(r"\1", text).replace("$", " ").replace("\\ ", " ")
    return " ".join(text.strip(" \t\n\"'`*()[]{}.,;:!").casefold().split())


def _number(value: float | Decimal) -> str:
    if isinstance(value, int):
        return str(value)
    number = Decimal(repr(value)) if isinstance(value, float) else value
    if number.is_nan():
        raise NoAnswer("is NaN, which stands for a missing answer; write the answer itself, or remove the row")
    if number.is_infinite():
        raise NoAnswer("is Infinity, which stands for a missing answer; write \\infty if that is the answer")
    return _decimal(_unrounded(number))


def _unrounded(number: Decimal) -> Decimal | Fraction:
    """The number that a float stands for: 0.3 for 0.30000000000000004, 1/3 for 0.3333333333333333."""
    if _num_digits(number) < ROUNDED_DIGITS or _num_decimals(number) < ROUNDED_DECIMALS:
        return number
    short = Decimal(f"{float(number):.{ROUNDED_DIGITS - 1}g}")
    if _num_digits(short) < ROUNDED_DIGITS - 2:
        return short
    simple = Fraction(number).limit_denominator(MAX_DENOMINATOR)
    if simple and math.isclose(float(simple), float(number), rel_tol=10.0 ** (2 - ROUNDED_DIGITS)):
        return simple
    raise Unmatchable(
        f"is the rounded number {number}, which no exact answer equals; write it as text, such as \\sqrt{{2}}"
    )


def _num_digits(number: Decimal) -> int:
    return len(number.normalize().as_tuple().digits)


def _num_decimals(number: Decimal) -> int:
    exponent = number.normalize().as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def _decimal(number: Decimal | Fraction) -> str:
    sign = "-" if number < 0 else ""
    if isinstance(number, Fraction):
        return f"{sign}\\frac{{{abs(number.numerator)}}}{{{number.denominator}}}"
    if not number:
        return "0"
    digits = "".join(map(str, number.as_tuple().digits)).strip("0")
    power = number.adjusted()
    if max(power, -power, len(digits)) <= MAX_PLAIN_DIGITS:
        plain = f"{number:f}"
        return plain.rstrip("0").rstrip(".") if "." in plain else plain
    return f"{sign}{digits[0]}{'.' if digits[1:] else ''}{digits[1:]}\\times 10^{{{power}}}"


def _quoted_items(text: str) -> list[str] | None:
    """The items of a list that was written as text, such as `['3', '5']`; None for other texts."""
    if not _QUOTED_LIST.fullmatch(text.strip()):
        return None
    try:
        items = ast.literal_eval(text.strip())
    except (SyntaxError, ValueError):
        return None
    return items if isinstance(items, list) else None


def _list(items: Sequence[Any]) -> str:
    """The items, joined by commas; one item if all are the same answer. Items of items are tuples."""
    if not items:
        raise NoAnswer("is an empty list; write the answer itself, or remove the row")
    texts = [_item(item, alone=len(items) == 1) for item in items]
    if all(decide(texts[0], text) == "correct" for text in texts):
        return texts[0]
    return ", ".join(texts)


def _item(item: Any, alone: bool) -> str:
    text = answer_text(item)
    if fault := missing_answer(text):
        raise NoAnswer(f"has an item that {fault}")
    inner = isinstance(item, Sequence) and not isinstance(item, str) and len(item) > 1
    return f"({text})" if inner and not alone else text
