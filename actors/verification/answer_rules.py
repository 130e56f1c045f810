r"""Rules that decide an answer without math-verify, or prepare the expressions that math-verify compares.

math-verify tests whether two expressions have the same value. For a reward that is not enough: `43=42`, `6\cdot 7` and
`42\%` have or contain the value 42, but none of them answers a problem whose answer is 42. The rules compare the texts
of the answer and the reference answer; tests/actors/verification/test_answer_table.py has cases for each.

- Equations: the answer may name the result (`x=5`, `f(x)=2x`, `m+n=42`); `43=42`, `x+1=42` and a chain `a=b=c` are
  wrong. The rule does not apply if the reference answer has as many relations.
- Numbers: if the reference answer consists of numbers (also in lists, tuples, intervals, sets), so must the answer.
  Signs, decimals, fractions, thousands separators, powers of ten and units are allowed; sums, products, roots and
  functions are not.
- Other reference answers: no integral, sum, product or limit that the reference answer does not have. If it is a
  number, no factorial, binomial or function of a class that it does not have either.
- Percent: if the reference answer has none, 42\% is 0.42. If it is 62.5\%, then 62.5\%, 62.5 and 0.625 are correct.
- Units: a unit is dropped if the reference answer has none. If both have one, the words must be equal.
- Cost: an answer beyond the limits of `answer_cost` on nesting, lists, powers, factorials and binomials, or with
  invisible characters, is not parsed.
"""

import re
from dataclasses import dataclass
from typing import Literal

from actors.verification import exact_numbers
from actors.verification.answer_cost import has_hidden_characters, is_too_costly
from actors.verification.answer_spelling import (
    PERCENT,
    SUBSCRIPT,
    cleaned,
    has_variable,
    joined_thousands,
    parts,
    sides_of,
    split_unit,
)
from actors.verification.answers import MAX_ANSWER_CHARS, compare_plainly

Decision = Literal["correct", "wrong", "unparsable"]


@dataclass(frozen=True)
class Comparison:
    """A comparison for math-verify: whether the answer equals one of the forms of the reference answer."""

    references: tuple[str, ...]
    answer: str


def decide(reference: str, answer: str) -> Decision | Comparison:
    """The verdict on one claimed answer, or the comparison that math-verify must decide."""
    if reference == answer:
        return "correct"
    if len(answer) > MAX_ANSWER_CHARS or has_hidden_characters(answer):
        return "unparsable"
    reference, answer = cleaned(reference), cleaned(answer)
    equal = compare_plainly(reference, answer)
    if equal is not None:
        return "correct" if equal else "wrong"
    if is_too_costly(answer):
        return "unparsable"
    if breaks_equation_rule(reference, answer):
        return "wrong"
    reference, answer = _without_names(reference, answer)
    reference, reference_unit = split_unit(reference)
    answer, answer_unit = split_unit(answer, bare=is_numeric(reference))
    if reference_unit and answer_unit and reference_unit != answer_unit:
        return "wrong"
    if is_numeric(reference) and "," not in reference:
        answer = joined_thousands(answer)
    forms, answer = _without_percent(reference, answer)
    if "%" in answer and "%" not in reference:
        return "wrong"
    if is_unevaluated(forms[0], answer):
        return "wrong"
    equalities = [exact_numbers.compare(form, answer) for form in forms]
    if any(equalities):
        return "correct"
    if all(equal is False for equal in equalities):
        return "wrong"
    return Comparison(forms, answer)


def reference_form(reference: str) -> str:
    """The form of a reference answer that math-verify parses."""
    return _without_percent(split_unit(cleaned(reference))[0], "")[0][0]


def _without_percent(reference: str, answer: str) -> tuple[tuple[str, ...], str]:
    """(forms of the reference answer, answer), both without a percent sign at the end."""
    reference_match, answer_match = PERCENT.fullmatch(reference), PERCENT.fullmatch(answer)
    if reference_match and answer_match:
        return (reference_match["value"],), answer_match["value"]
    if reference_match:
        return (reference_match["value"], f"\\frac{{{reference_match['value']}}}{{100}}"), answer
    if answer_match:
        return (reference,), f"\\frac{{{answer_match['value']}}}{{100}}"
    return (reference,), answer


_ARGUMENTS = re.compile(r"(?<=[a-zA-Z}'])\s*\([^()]*\)")
_ELEMENT = re.compile(r"[a-zA-Z]\s*\\in(?![a-zA-Z])\s*(.+)", re.DOTALL)


def breaks_equation_rule(reference: str, answer: str) -> bool:
    """Whether the answer is a chain, or an equation whose left side is not a name; see the module docstring."""
    allowed = max(len(sides_of(part)) - 1 for part in parts(reference))
    for part in parts(answer):
        sides = sides_of(part)
        if len(sides) - 1 > max(1, allowed):
            return True
        if len(sides) == 2 and not allowed and not _is_name(sides[0]):
            return True
    return False


def _is_name(latex: str) -> bool:
    """Whether the text has letters and no numbers outside arguments and subscripts: x, f(2), a_{10}, m+n, AB."""
    bare = _ARGUMENTS.sub("", SUBSCRIPT.sub("", latex))
    return bool(re.search("[a-zA-Z]", bare)) and not re.search("[0-9]", bare)


def _without_names(reference: str, answer: str) -> tuple[str, str]:
    """`x=5` -> `5`, if only one of the two has a name, or if both have the same name."""
    reference, answer = (match[1] if (match := _ELEMENT.fullmatch(side)) else side for side in (reference, answer))
    reference_parts, answer_parts = ([sides_of(part) for part in parts(side)] for side in (reference, answer))
    reference_named, answer_named = (max(map(len, sides)) == 2 for sides in (reference_parts, answer_parts))
    if reference_named and answer_named:
        (name, *reference_values), (other, *answer_values) = reference_parts[0], answer_parts[0]
        if len(reference_parts) == len(answer_parts) == 1 and _is_name(name) and name.split() == other.split():
            return reference_values[0], answer_values[0]
    elif answer_named and max(map(len, reference_parts)) == 1:
        answer = ",".join(sides[-1] for sides in answer_parts)
    elif reference_named and len(reference_parts) == 1 and max(map(len, answer_parts)) == 1:
        name, value = reference_parts[0]
        if _is_name(name):
            reference = value
    return reference, answer


_POWER_OF_TEN = re.compile(
    r"(?:([0-9])\s*(?:\\times|\\cdot|\u00d7|\u00b7)\s*)?(?<![0-9.])10\s*\^\s*(?:[0-9]|\{\s*[+-]?[0-9]{1,4}\s*\})"
)
_NUMBER = r"[+-]?\s*(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
_FRACTION = re.compile(
    rf"\\frac\s*(?:\{{\s*{_NUMBER}\s*\}}\s*\{{\s*{_NUMBER}\s*\}}"
    r"|[0-9]\s*[0-9]|[0-9]\s*\{\s*[0-9]+\s*\})"
)
_SLASH = re.compile(r"(?<![0-9./])([0-9]+(?:\.[0-9]+)?)\s*/\s*[0-9]+(?:\.[0-9]+)?(?![0-9./])")
_PLAIN_WORDS = re.compile(
    r"\\(?:infty|cup|\{|\}|%|emptyset|varnothing|langle|rangle|overline|l?dots|frac)(?![a-zA-Z])"
    r"|\\text\s*\{\s*(?:and|or)\s*\}|(?<![a-zA-Z])(?:and|or)(?![a-zA-Z])|\^\{\\circ\}"
)
_WORK = re.compile(
    r"\\[a-zA-Z]+|[*!^|\u00d7\u00f7·√∫∑∏π²³]"
    r"|[0-9)\]F]\s*[+-]"  # a sum
    r"|F\s*[F0-9(]|[0-9]\s*[({]|[0-9]\s+[0-9]|\)\s*[F0-9]|\)\s*\((?![^()]*,)"  # side by side: a product
    r"|(?<![a-zA-Z])(?:sqrt|sin|cos|tan|log|ln|exp|abs|max|min|gcd|lcm|floor|pi|e|i)(?![a-zA-Z])"
)
_OPERATORS = re.compile(r"\\(?:i*o?int|sum|prod|lim)(?![a-zA-Z])|[∫∑∏]")
_FUNCTIONS = [
    re.compile(r"!|\\[dt]?binom(?![a-zA-Z])|\\choose(?![a-zA-Z])"),
    re.compile(r"\\?(?<![a-zA-Z])(?:log|ln|lg|exp)(?![a-zA-Z])"),
    re.compile(r"\\?(?<![a-zA-Z])(?:arc)?(?:sin|cos|tan|cot|sec|csc)h?(?![a-zA-Z])"),
    re.compile(r"\\(?:gcd|max|min|[lr]?floor|[lr]?ceil|bmod|pmod|det|operatorname)(?![a-zA-Z])"),
]


def is_numeric(reference: str) -> bool:
    """Whether a reference answer consists of numbers only."""
    has_digit = bool(re.search("[0-9]", reference))
    return has_digit and not _WORK.search(_numbers_marked(reference)) and not has_variable(reference)


def is_unevaluated(reference: str, answer: str) -> bool:
    """Whether the answer has an unevaluated operation that the reference answer does not have."""
    if is_numeric(reference):
        return bool(_WORK.search(_numbers_marked(answer)))
    if not set(_OPERATORS.findall(answer)) <= set(_OPERATORS.findall(reference)):
        return True
    if has_variable(reference):
        return False
    return any(kind.search(answer) and not kind.search(reference) for kind in _FUNCTIONS)


def _numbers_marked(latex: str) -> str:
    """The text with F for each fraction and without the words of lists and sets."""
    latex = _POWER_OF_TEN.sub(lambda power: power[1] or "1", latex.replace("\\pm", "+"))
    latex = _SLASH.sub("F", _FRACTION.sub("F", latex))
    return _PLAIN_WORDS.sub(lambda word: word[0][-1] if word[0] in ("\\{", "\\}") else " , ", latex)
