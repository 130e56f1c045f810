r"""Which answers are refused before math-verify sees them, and in which form the rest reaches it.

math-verify asks whether two expressions have the same value. That is too little for a reward: `43=42`, `6\cdot 7` and
`42\%` have or contain the value 42 and do not answer a question whose answer is 42. The rules here are read off the two
texts; tests/actors/verification/test_answer_table.py holds a line for each.

- One equation names what is found: `x=5`, `f(x)=2x`, `m+n=42`, but not `43=42` or `x+1=42`. A chain `a=b=c` is
  refused. A gold answer that has as many relations itself lifts the rule.
- A gold answer that is plain numbers (also in lists, tuples, intervals, sets) wants plain numbers: signs, decimals,
  fractions, thousands separators, powers of ten, units; no sums, products, roots or functions left to work out.
- Against any other gold answer, no integral, sum, product or limit that the gold answer does not have; against a
  number, no factorial, binomial or function of a class that it does not have.
- Percent by gold: when the gold answer has none, 42\% is 0.42. When it is 62.5\%, right are 62.5\%, 62.5 and 0.625.
- A unit is dropped when the gold answer has none; when both name one, they must be the same word.
- What can only be meant to burn time is not parsed: nesting, towers of powers, exponents, factorials and binomials
  beyond any real answer. Nor is what contains characters that do not show.
"""

import re
from dataclasses import dataclass
from typing import Literal

from actors.verification import exact_numbers as exact
from actors.verification.answer_cost import burns_time, has_hidden_characters
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
    """A question only math-verify can decide: does the answer equal one of the gold forms?"""

    golds: tuple[str, ...]
    answer: str


def decide(gold: str, answer: str) -> Decision | Comparison:
    """The verdict on one claimed answer, or the question to ask math-verify."""
    if gold == answer:
        return "correct"
    if len(answer) > MAX_ANSWER_CHARS or has_hidden_characters(answer):
        return "unparsable"
    gold, answer = cleaned(gold), cleaned(answer)
    equal = compare_plainly(gold, answer)
    if equal is not None:
        return "correct" if equal else "wrong"
    if burns_time(answer):
        return "unparsable"
    if breaks_equation_rule(gold, answer):
        return "wrong"
    gold, answer = _without_names(gold, answer)
    gold, gold_unit = split_unit(gold)
    answer, answer_unit = split_unit(answer, bare=is_plain(gold))
    if gold_unit and answer_unit and gold_unit != answer_unit:
        return "wrong"
    if is_plain(gold) and "," not in gold:
        answer = joined_thousands(answer)
    golds, answer = _by_gold_percent(gold, answer)
    if "%" in answer and "%" not in gold:
        return "wrong"
    if is_unevaluated(golds[0], answer):
        return "wrong"
    plain = [exact.compare(form, answer) for form in golds]
    if any(plain):
        return "correct"
    if all(equal is False for equal in plain):
        return "wrong"
    return Comparison(golds, answer)


def gold_form(gold: str) -> str:
    """The gold answer as math-verify would be asked about it."""
    return _by_gold_percent(split_unit(cleaned(gold))[0], "")[0][0]


def _by_gold_percent(gold: str, answer: str) -> tuple[tuple[str, ...], str]:
    """(gold forms, answer) without a percent sign at their ends."""
    gold_match, answer_match = PERCENT.fullmatch(gold), PERCENT.fullmatch(answer)
    if gold_match and answer_match:
        return (gold_match["value"],), answer_match["value"]
    if gold_match:
        return (gold_match["value"], f"\\frac{{{gold_match['value']}}}{{100}}"), answer
    if answer_match:
        return (gold,), f"\\frac{{{answer_match['value']}}}{{100}}"
    return (gold,), answer


_ARGUMENTS = re.compile(r"(?<=[a-zA-Z}'])\s*\([^()]*\)")
_MEMBER = re.compile(r"[a-zA-Z]\s*\\in(?![a-zA-Z])\s*(.+)", re.DOTALL)


def breaks_equation_rule(gold: str, answer: str) -> bool:
    """Whether the answer is a chain, or states an equation whose left side is no name, and gold does not do so too."""
    allowed = max(len(sides_of(part)) - 1 for part in parts(gold))
    for part in parts(answer):
        sides = sides_of(part)
        if len(sides) - 1 > max(1, allowed):
            return True
        if len(sides) == 2 and not allowed and not _is_name(sides[0]):
            return True
    return False


def _is_name(latex: str) -> bool:
    """x, f(2), a_{10}, m+n, AB: something named by letters; a number in it would be a second statement."""
    bare = _ARGUMENTS.sub("", SUBSCRIPT.sub("", latex))
    return bool(re.search("[a-zA-Z]", bare)) and not re.search("[0-9]", bare)


def _without_names(gold: str, answer: str) -> tuple[str, str]:
    """`x=5` -> `5` on a side that names what the other does not name, and on both when they name it alike."""
    gold, answer = (match[1] if (match := _MEMBER.fullmatch(side)) else side for side in (gold, answer))
    gold_parts, answer_parts = ([sides_of(part) for part in parts(side)] for side in (gold, answer))
    gold_named, answer_named = (max(map(len, sides)) == 2 for sides in (gold_parts, answer_parts))
    if gold_named and answer_named:
        (name, *gold_values), (other, *answer_values) = gold_parts[0], answer_parts[0]
        if len(gold_parts) == len(answer_parts) == 1 and _is_name(name) and name.split() == other.split():
            return gold_values[0], answer_values[0]
    elif answer_named and max(map(len, gold_parts)) == 1:
        answer = ",".join(sides[-1] for sides in answer_parts)
    elif gold_named and len(gold_parts) == 1 and max(map(len, answer_parts)) == 1 and _is_name(gold_parts[0][0]):
        gold = gold_parts[0][1]
    return gold, answer


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


def is_plain(gold: str) -> bool:
    """Whether a gold answer is made of plain numbers only."""
    return bool(re.search("[0-9]", gold)) and not _WORK.search(_numbers_marked(gold)) and not has_variable(gold)


def is_unevaluated(gold: str, answer: str) -> bool:
    """Whether the answer leaves work to do that the gold answer has done."""
    if is_plain(gold):
        return bool(_WORK.search(_numbers_marked(answer)))
    if not set(_OPERATORS.findall(answer)) <= set(_OPERATORS.findall(gold)):
        return True
    return not has_variable(gold) and any(kind.search(answer) and not kind.search(gold) for kind in _FUNCTIONS)


def _numbers_marked(latex: str) -> str:
    """Fractions as F, the words of lists and sets gone; what is left should be digits and brackets."""
    latex = _POWER_OF_TEN.sub(lambda power: power[1] or "1", latex.replace("\\pm", "+"))
    latex = _SLASH.sub("F", _FRACTION.sub("F", latex))
    return _PLAIN_WORDS.sub(lambda word: word[0][-1] if word[0] in ("\\{", "\\}") else " , ", latex)
