r"""Rules that decide an answer without math-verify, or prepare the expressions that math-verify compares.

math-verify tests whether two expressions have the same value. For a reward that is not enough: `43=42` and `6\cdot 7`
contain or have the value 42, but neither answers a problem whose answer is 42. The rules compare the texts of the
answer and the reference answer; tests/actors/verification/test_answer_table.py has cases for each.

- Equations: the answer may name the result (`x=5`, `f(x)=2x`, `m+n=42`, `A^{-1}=` a matrix); `43=42`, `x+1=42` and a
  chain `a=b=c` are wrong. The rule does not apply if the reference answer has as many relations. `y=2, x=1` is (1,2).
- Domains: a set of the variable at the end, `k \in \mathbb{Z}`, may be added, but not left out or changed.
- Shapes: lists and sets are equal in any order, each value as often; tuples, intervals, matrices value by value. A
  tuple may stand for a vector, a list for a tuple, and intervals for the solutions of an inequality and vice versa.
- Numbers: if the reference answer is a number, so must the answer be. Signs, decimals, fractions, thousands
  separators, powers of ten and units are allowed; sums, products, roots and functions are not. Numbers are equal if
  they are exactly; a decimal of six places may be rounded or cut (see `exact_numbers`).
- Other reference answers: no integral, sum, product or limit that the reference answer does not have. If it is a
  number, no factorial, binomial or function of a class that it does not have either. r is not R, f' is not f.
- Texts: words, numerals with a base, times, ratios and options are compared by `answer_texts`.
- Percent: if the reference answer is 62.5\%, then 62.5\%, 62.5 and 0.625 are correct. If it has no percent sign, 42\%
  is 0.42; it is 42, too, if the reference answer is 0 or at least 1 and therefore no share. Percent is no other unit.
- Units: may be left out, and are dropped if the reference answer has none. If both have one, they must be equal with
  their powers: 6 cm^2 is neither 6 cm nor 6 m^2, and 60 minutes are not 1 hour. Degrees in an angle count.
- Cost: an answer beyond the limits of `answer_cost` on nesting and lists, or with invisible characters, is refused; so
  is one beyond its limits on powers, factorials and binomials, unless its value is found exactly without math-verify.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from actors.verification import exact_numbers
from actors.verification.answer_cost import has_hidden_characters, is_too_costly, is_too_nested
from actors.verification.answer_equations import breaks_equation_rule, without_names
from actors.verification.answer_shapes import Shape, is_grouped_number, shape_of
from actors.verification.answer_spelling import (
    canonical,
    cleaned,
    has_euler,
    joined_thousands,
    same_text,
    split_domain,
    swaps_case,
)
from actors.verification.answer_texts import compare_numerals, compare_ratios, compare_words, split_option
from actors.verification.answer_units import PERCENT, in_radians, split_unit
from actors.verification.answer_work import is_numeric, is_unevaluated
from actors.verification.answers import MAX_ANSWER_CHARS, compare_plainly
from actors.verification.typography import plain_latex, undressed

Decision = Literal["correct", "wrong", "unparsable"]
TREE = "\x1d"
"""First character of several values in a `Comparison`, which no answer contains; JSON follows."""


@dataclass(frozen=True)
class Comparison:
    """A comparison for math-verify: whether the answer equals one of the forms of the reference answer.

    A text is LaTeX, or `TREE` and {"ordered": true, "items": [...]}, whose items are such texts.
    """

    references: tuple[str, ...]
    answer: str


Outcome = bool | Comparison


def decide(reference: str, answer: str) -> Decision | Comparison:
    """The verdict on one claimed answer, or the comparison that math-verify must decide."""
    if (equal := compare_plainly(reference, answer)) is not None:
        return "correct" if equal else "wrong"
    reference, answer = undressed(reference, answer)
    if len(answer) > MAX_ANSWER_CHARS or has_hidden_characters(answer):
        return "unparsable"
    if same_text(cleaned(reference), cleaned(answer)):
        return "correct"
    reference, answer = canonical(reference), canonical(answer, euler=has_euler(reference))
    reference, answer = _without_domains(reference, answer)
    if is_too_nested(answer):
        return "unparsable"
    outcome = _compare_options(reference, answer)
    if isinstance(outcome, bool):
        return "correct" if outcome else "wrong"
    return "unparsable" if is_too_costly(answer) else outcome


def _without_domains(reference: str, answer: str) -> tuple[str, str]:
    """Both without the set of their variable, unless the reference answer has one that the answer does not have."""
    (value, domain), (given, other) = split_domain(reference), split_domain(answer)
    if domain and domain != other:
        return reference, answer
    return value, given


def reference_form(reference: str) -> str:
    """The form of a reference answer that math-verify parses; 1 if the rules compare it as a text."""
    reference = split_domain(canonical(plain_latex(reference)))[0]
    letter, value = split_option(reference)
    if letter or any(compare(reference, reference) for compare in _TEXTS):
        return reference_form(value) if letter and value else "1"
    if "\\pm" in reference and (shape := shape_of(reference)).kind == "list":
        reference = ",".join(shape.items)
    return _form(reference)


def _compare_options(reference: str, answer: str) -> Outcome:
    """Compares the letters of options, if both have one, and the values, if both have one."""
    (letter, value), (other, given) = split_option(reference), split_option(answer)
    if letter and other:
        return letter == other and (not value or not given or _compare_equations(value, given))
    return _compare_equations(value if letter and value else reference, given if other and given else answer)


def _compare_equations(reference: str, answer: str) -> Outcome:
    equal = compare_plainly(reference, answer)
    if equal is not None:
        return equal
    if breaks_equation_rule(reference, answer):
        return False
    return _compare(*without_names(reference, answer))


def _compare(reference: str, answer: str) -> Outcome:
    """Compares two answers of any shape."""
    expected = shape_of(reference)
    given = shape_of(joined_thousands(answer) if expected.kind == "value" and is_numeric(reference) else answer)
    if expected.kind == "set" and len(expected.items) == 1 and given.kind not in ("set", "list"):
        return _compare(expected.items[0], answer)
    if given.kind == "set" and len(given.items) == 1 and expected.kind not in ("set", "list"):
        return _compare(reference, given.items[0])
    if expected.kind == given.kind == "value":
        return _compare_values(reference, given.items[0])
    if "%" in answer and "%" not in reference:
        return False
    order = _order(expected, given)
    if order == "different":
        return False
    if order == "unknown":
        return not is_unevaluated(reference, answer) and Comparison((_form(reference),), _form(answer))
    if len(expected.items) != len(given.items):
        equal: bool | None = False
    elif order == "ordered":
        equal = _all_equal(expected.items, given.items)
    else:
        equal = _matched(expected.items, given.items)
    if equal is None:
        return Comparison((_tree(expected.items, order),), _tree(given.items, order))
    if not equal and expected.kind == given.kind == "union":  # (0,1]\cup(1,2) is (0,2)
        return Comparison((_form(reference),), _form(answer))
    return equal


Order = Literal["ordered", "unordered", "different", "unknown"]


def _order(expected: Shape, given: Shape) -> Order:
    """Whether the values of two answers are compared in order, or why they are not compared one by one."""
    if expected.variable and given.variable and expected.variable != given.variable:
        return "different"
    kinds = {expected.kind, given.kind}
    if "value" in kinds:
        value, other = (expected, given) if expected.kind == "value" else (given, expected)
        if other.kind == "matrix":
            return "unknown" if "\\begin" in value.items[0] else "different"
        is_set = any(word in value.items[0] for word in ("\\setminus", "\\cap", "\\mathbb"))
        return "unknown" if is_set or not is_numeric(value.items[0]) else "different"
    if kinds <= {"list", "set"} or kinds == {"union"}:
        return "unordered"
    if expected.kind == "union" and given.kind == "list":
        return "unordered" if all(shape_of(item).kind != "value" for item in given.items) else "different"
    if "union" in kinds:
        return "different" if kinds & {"matrix", "list"} else "unknown"
    if kinds == {"matrix"} or kinds == {"interval"}:
        return "ordered" if expected.detail == given.detail else "different"
    if "matrix" in kinds:
        size = expected.detail if expected.kind == "matrix" else given.detail
        return "ordered" if kinds <= {"matrix", "tuple", "list"} and "1" in size.split("x") else "different"
    if kinds == {"interval", "tuple"}:
        return "ordered" if expected.detail == given.detail else "different"
    return "ordered" if kinds <= {"tuple", "list"} else "different"


def _all_equal(expected: tuple[str, ...], given: tuple[str, ...]) -> bool | None:
    outcomes = [_compare(one, other) for one, other in zip(expected, given, strict=True)]
    if False in outcomes:
        return False
    return None if any(isinstance(outcome, Comparison) for outcome in outcomes) else True


def _matched(expected: tuple[str, ...], given: tuple[str, ...]) -> bool | None:
    """Whether the values are equal in some order; None if math-verify must decide about some."""
    remaining, undecided = list(given), []
    for value in expected:
        outcomes = [_compare(value, other) for other in remaining]
        if True in outcomes:
            del remaining[outcomes.index(True)]
        elif any(isinstance(outcome, Comparison) for outcome in outcomes):
            undecided.append(value)
        else:
            return False
    if not undecided:
        return True
    possible = all(any(_compare(value, other) is not False for value in undecided) for other in remaining)
    return None if possible else False


def _tree(items: tuple[str, ...], order: Order) -> str:
    """The items as one text of a `Comparison`."""
    texts = []
    for item in items:
        shape = shape_of(item)
        if shape.kind in ("value", "union") or not shape.items:
            texts.append(_form(item))
        else:
            texts.append(_tree(shape.items, "unordered" if shape.is_unordered else "ordered"))
    return TREE + json.dumps({"ordered": order == "ordered", "items": texts})


_WORDS_INSIDE = re.compile(r"\\(?:text|mathrm)\s*\{[^{}]*[a-zA-Z]{2}[^{}]*\}(?!\s*\()")
_TEXTS: tuple[Callable[[str, str], bool | None], ...] = (compare_words, compare_numerals, compare_ratios)


def _compare_values(reference: str, answer: str) -> Outcome:
    """Compares two single values."""
    if same_text(reference, answer):
        return True
    for compare in _TEXTS:
        if (equal := compare(reference, answer)) is not None:
            return equal
    reference, reference_unit = split_unit(reference)
    answer, answer_unit = split_unit(answer, bare=is_numeric(reference))
    if reference_unit and answer_unit and reference_unit != answer_unit:
        return False
    if (reference_unit and PERCENT.fullmatch(answer)) or (answer_unit and PERCENT.fullmatch(reference)):
        return False
    if reference.count("'") != answer.count("'"):  # math-verify ignores them: f'(x), 5' of an angle
        return False
    if _WORDS_INSIDE.search(reference):  # math-verify would take the words for factors, in any order
        return same_text(reference, answer)
    if is_grouped_number(reference):
        reference = joined_thousands(reference)
    if is_numeric(reference):
        answer = joined_thousands(answer)
    if swaps_case(reference, answer):  # math-verify ignores the case of letters
        return False
    forms, answer = _without_percent(reference, answer)
    if ("%" in answer and "%" not in reference) or is_unevaluated(forms[0], answer):
        return False
    equalities = [exact_numbers.compare(form, answer) for form in forms]
    if True in equalities:
        return True
    if None not in equalities:
        return False
    return Comparison(tuple(map(in_radians, forms)), in_radians(answer))


def _form(latex: str) -> str:
    """The form of an answer that math-verify parses, whatever it is compared with."""
    value = split_unit(latex)[0]
    if match := PERCENT.fullmatch(value):
        return _hundredth(match["value"])
    if re.search(r"\.[0-9]*(?:\\(?:overline|bar|dot)(?![a-zA-Z])|\()", value):
        try:
            number, _ = exact_numbers.read(value)
        except exact_numbers.NotPlain:
            return value
        if set(number) == {(1, 0)}:
            return f"\\frac{{{number[1, 0].numerator}}}{{{number[1, 0].denominator}}}"
    return in_radians(joined_thousands(value) if is_grouped_number(value) else value)


def _without_percent(reference: str, answer: str) -> tuple[tuple[str, ...], str]:
    """(forms of the reference answer, answer), both without a percent sign at the end."""
    reference_match, answer_match = PERCENT.fullmatch(reference), PERCENT.fullmatch(answer)
    if reference_match and answer_match:
        return (reference_match["value"],), answer_match["value"]
    if reference_match:
        return (reference_match["value"], _hundredth(reference_match["value"])), answer
    if answer_match:
        hundredth = _hundredth(answer_match["value"])
        return ((reference, _hundredth(reference)) if _is_no_share(reference) else (reference,)), hundredth
    return (reference,), answer


def _hundredth(latex: str) -> str:
    """A hundredth of a number; a decimal remains one, which may be rounded."""
    if re.fullmatch(r"[0-9]+\.[0-9]+", latex):
        return f"{Decimal(latex).scaleb(-2):f}"
    return f"\\frac{{{latex}}}{{100}}"


def _is_no_share(latex: str) -> bool:
    """Whether a number is 0, or at least 1, so that it may be meant in percent."""
    try:
        value, _ = exact_numbers.read(latex)
    except exact_numbers.NotPlain:
        return False
    return not value or (set(value) == {(1, 0)} and abs(value[1, 0]) >= 1)
