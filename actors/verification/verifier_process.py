"""The script of the processes that run math-verify (`confined_process`); `verifier.py` never imports it.

The alarms of math-verify are disabled: they cannot interrupt a long C call, and may fire outside of the comparison.

    request  [{"references": ["42"], "answer": "41"}, ...]: whether each answer equals one of its references;
             answer null: whether the reference can be parsed
    reply    the verdict

A reference and an answer are LaTeX, or `TREE` and JSON: {"ordered": true, "items": ["3", "x^2"]}, see `answer_rules`.
Expressions are compared by their values at a few points, with enough digits to tell any two closed forms apart.
math-verify rounds (to it 2^{-60} is 2^{-61}), so it alone decides only about what has no value: sets, equations, texts.
"""

import gc
import json
import logging
import re
import signal
import socket
import sys
from functools import lru_cache
from typing import Any

if __name__ == "__main__":
    # Ctrl-C is sent to the whole process group, and the parent handles it. The import below takes a second.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

from latex2sympy2_extended import NormalizationConfig
from math_verify import LatexExtractionConfig, parse, verify
from sympy import (
    Derivative,
    Expr,
    FiniteSet,
    Float,
    I,
    Integral,
    Interval,
    Limit,
    MatrixBase,
    Product,
    Rational,
    Sum,
    Symbol,
    Tuple,
    default_sort_key,
)
from sympy.core.evalf import PrecisionExhausted
from sympy.core.relational import Relational

from actors.verification.confined_process import run_fork_server

_EXTRACTION = (
    LatexExtractionConfig(
        boxed_match_priority=0,
        try_extract_without_anchor=False,
        normalization_config=NormalizationConfig(
            basic_latex=True,
            units=False,  # it would read 6m as 6; `actors.verification.answer_rules` handles units
            malformed_operators=True,
            nits=True,
            boxed="all",
        ),
    ),
)

TREE = "\x1d"
"""First character of a text that is a tree, as in `answer_rules`, which this script does not import."""
POINTS = tuple(
    tuple(Rational(number) for number in numbers.split())
    for numbers in (
        "17/7 29/11 37/13 43/17 53/19",
        "5/3 3/7 8/5 7/2 9/4",
        "2 3 5 7 11",
        "-19/7 -23/11 -13/5 -41/17 -3/8",
    )
)
"""Values of the variables, cyclically: expressions that are equal at all of these points are equal."""
ROUNDED = re.compile(r"[+-]?(?=[0.]*[1-9][0-9.]{3})[0-9]*\.([0-9]{6,18})")
"""A decimal of at least six places and four digits from the first that is not 0."""
UNEVALUATED = (Sum, Product, Integral, Limit, Derivative)
MAX_DIGITS, MAX_DIGITS_AT_POINTS = 500, 100
"""Digits to which two closed forms, and two expressions at one point, are compared at most."""
TINY = Rational(1, 10**6)


def parse_content(content: str) -> list[Any]:
    """The content of a box, parsed by math-verify: [sympy object, text], [text] or []."""
    parts: list[Any] = parse(
        f"\\boxed{{{content}}}",
        extraction_config=_EXTRACTION,
        extraction_mode="first_match",
        parsing_timeout=None,
        raise_on_error=True,
    )
    return parts


@lru_cache(maxsize=4096)
def parse_reference(reference: str) -> tuple[Any, ...]:
    return tuple(parse_content(reference))


def has_expression(parts: list[Any] | tuple[Any, ...]) -> bool:
    """Whether `parse_content` found an expression, and not only text."""
    return any(not isinstance(part, str) for part in parts)


def judge_all(comparisons: list[dict[str, Any]]) -> str:
    """`correct` if every answer equals one of its references, else the verdict on the first that does not."""
    for comparison in comparisons:
        verdicts = [judge(reference, comparison["answer"]) for reference in comparison["references"]]
        if "correct" not in verdicts:
            return verdicts[0]
    return "correct"


def judge(reference: str, answer: str | None) -> str:
    """The verdict on one comparison of texts or of trees. A MemoryError ends the worker: the parent counts a crash."""
    if answer is None or not (reference.startswith(TREE) and answer.startswith(TREE)):
        return judge_text(reference, answer)
    expected, given = json.loads(reference[1:]), json.loads(answer[1:])
    if expected["ordered"]:
        return judge_all(
            [
                {"references": [one], "answer": other}
                for one, other in zip(expected["items"], given["items"], strict=True)
            ]
        )
    remaining = list(given["items"])
    for one in expected["items"]:
        equal = next((other for other in remaining if judge(one, other) == "correct"), None)
        if equal is None:
            return "wrong"
        remaining.remove(equal)
    return "correct"


@lru_cache(maxsize=4096)
def judge_text(reference: str, answer: str | None) -> str:
    """The verdict on an answer, or, if it is None, on the reference alone."""
    try:
        expected = parse_reference(reference)
    except MemoryError:
        raise
    except Exception:
        expected = ()
    if not expected:
        return "crash" if answer is not None else "unparsable"
    if answer is None:  # math-verify compares text of several words literally, so no other form would match
        return "correct" if has_expression(expected) or expected[0].isalpha() else "unparsable"
    try:
        given = parse_content(answer)
    except MemoryError:
        raise
    except Exception:  # the parser raises many kinds of exceptions
        return "unparsable"
    if not given:
        return "unparsable"
    try:
        equal = have_equal_values(expected[0], given[0])
        equal = equal or is_rounded(reference, given[0]) or is_rounded(answer, expected[0]) or equal
        if equal is not True:  # a comparison that math-verify cannot end is no verdict, even if the values differ
            verified = verify(list(expected), given, timeout_seconds=None, raise_on_error=True)
            equal = equal is None and verified and not is_rounded_equality(expected[0], given[0])
        if equal:
            return "correct"
    except MemoryError:
        raise
    except Exception as error:  # both sides were parsed and the comparison failed, so there is no verdict
        logging.error("comparing %.200r with %.200r: %.200r", reference, answer, error)  # repr: untrusted text
        return "crash"
    return "wrong" if has_expression(given) or not has_expression(expected) else "unparsable"


def have_equal_values(expected: Any, given: Any) -> bool | None:
    """Whether two expressions, or lists or matrices of expressions, have equal values; None if they have no values."""
    if isinstance(expected, MatrixBase) and isinstance(given, MatrixBase):
        if expected.shape != given.shape:
            return False
        return all_equal([have_equal_values(a, b) for a, b in zip(expected, given, strict=True)])
    if isinstance(expected, Tuple) and isinstance(given, Tuple) and len(expected) == len(given):
        return all_equal([have_equal_values(a, b) for a, b in zip(expected, given, strict=True)])
    if not is_expression(expected) or not is_expression(given):
        return None
    try:
        expected, given = (evaluated(side) for side in (expected, given))
        if expected.has(*UNEVALUATED) or given.has(*UNEVALUATED):
            return None
        symbols = sorted(expected.free_symbols | given.free_symbols, key=default_sort_key)
        equalities = [equal_at(expected, given, symbols, point) for point in POINTS[: None if symbols else 1]]
    except MemoryError:
        raise
    except Exception:  # sympy cannot evaluate one of them, and raises many kinds of exceptions
        return None
    if None in equalities[:1] or len({equal for equal in equalities if equal is not None}) != 1:
        return None
    return equalities[0]


def is_rounded(decimal: str, exact: Any) -> bool:
    """Whether a decimal is a number that is rounded or cut, by the rule of `exact_numbers`."""
    match = ROUNDED.fullmatch(decimal)
    if not match or not is_expression(exact) or exact.free_symbols:
        return False
    number, written, unit = exact.evalf(30), Rational(decimal), Rational(1, 10 ** min(len(match[1]), 12))
    if not number.is_real:
        return False
    is_cut = bool(written * number > 0) and bool(0 <= abs(number) - abs(written) < unit)
    return is_cut or bool(abs(number - written) <= unit / 2)


def all_equal(equalities: list[bool | None]) -> bool | None:
    return None if None in equalities else all(equalities)


def is_expression(side: Any) -> bool:
    return isinstance(side, Expr) and not side.has(Relational) and all(s.is_Symbol for s in side.free_symbols)


def evaluated(side: Expr) -> Expr:
    """The expression with 1/10 for the floating-point number 0.1, with the values of sums and integrals, and with i for
    the symbol as which math-verify reads it in some expressions."""
    exact = side.xreplace({number: Rational(str(number)) for number in side.atoms(Float)})
    exact = exact.doit() if exact.has(*UNEVALUATED) else exact
    return exact.xreplace({symbol: I for symbol in exact.free_symbols if symbol.name == "i"})


def equal_at(expected: Expr, given: Expr, symbols: list[Symbol], point: tuple[Rational, ...]) -> bool | None:
    """Whether two expressions are equal at one point; None if one has no finite value there."""
    values = {symbol: point[i % len(point)] + i // len(point) for i, symbol in enumerate(symbols)}
    first, second = (side.subs(values).doit() if values else side.doit() for side in (expected, given))
    if first.is_Rational and second.is_Rational:
        return bool(first == second)
    try:
        max_digits = MAX_DIGITS_AT_POINTS if symbols else MAX_DIGITS
        difference = (first - second).evalf(15, strict=True, maxn=max_digits)
        if not difference.is_number or not difference.is_finite:
            return None
        if difference != 0:
            return False
    except PrecisionExhausted:
        pass  # the difference is 0, or part of it is
    sides = [side.evalf(40) for side in (first, second, first - second)]
    if not all(side.is_number and side.is_finite for side in sides):
        return None
    one, other, difference = map(abs, sides)
    return bool(difference <= max(one, other) * Rational(1, 10**30) or max(one, other) < Rational(1, 10**50))


def is_rounded_equality(expected: Any, given: Any) -> bool:
    """Whether math-verify may have called two equations or intervals equal only because their difference is tiny."""
    if isinstance(expected, Interval) and isinstance(given, Interval):
        ends = [(expected.start, given.start), (expected.end, given.end)]
        return any(have_equal_values(a, b) is False for a, b in ends)
    if isinstance(expected, FiniteSet) and isinstance(given, FiniteSet) and len(expected) == len(given):
        return any(all(have_equal_values(a, b) is False for b in given.args) for a in expected.args)
    if isinstance(expected, Relational) and isinstance(given, Relational):
        if not all(isinstance(side, Expr) for side in (*expected.args, *given.args)):
            return False
        one, other = expected.lhs - expected.rhs, given.lhs - given.rhs
        numbers = [number for side in (one, other) for number in side.atoms(Rational, Float) if number != 0]
        is_tiny = any(abs(number) < TINY or abs(number) > 1 / TINY for number in numbers)
        return is_tiny and have_equal_values(one, other) is False and have_equal_values(one, -other) is False
    return False


if __name__ == "__main__":
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    for warm_up in ("1", "\\frac{1}{2}", "x^2+1"):  # before any fork, compile patterns and fill the parser's tables
        judge(warm_up, "2")
    gc.freeze()
    run_fork_server(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), judge_all)
