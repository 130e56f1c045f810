"""The answer inside a response, and the answers that can be compared without a computer algebra system."""

import re
from collections import Counter

MAX_ANSWER_CHARS = 1000
"""A longer box is never an answer; parsing it is only a way to burn time."""

_BOX = "\\boxed{"
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_POWER = re.compile(r"([a-df-hj-z])\^(?:([0-9])|\{([0-9]{1,6})\})")  # not e and i: they are constants
_MONOMIAL = re.compile(rf"(?:{_POWER.pattern})+")


def boxed_answer(text: str) -> str | None:
    """Content of the last \\boxed{...} after the last </think>; None when there is none, it is empty or not closed."""
    text = text.rpartition("</think>")[2]
    start = text.rfind(_BOX)
    if start < 0:
        return None
    start += len(_BOX)
    depth, position = 1, start
    while position < len(text):
        char = text[position]
        if char == "\\":
            position += 1  # the next character is escaped
        elif char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                return text[start:position].strip() or None
        position += 1
    return None


def is_plain(answer: str) -> bool:
    """Whether `compare_plainly` can read it: an integer, or a product of powers. math-verify reads each of them too."""
    return bool(_INTEGER.fullmatch(answer) or _MONOMIAL.fullmatch(answer))


def compare_plainly(gold: str, answer: str) -> bool | None:
    """Whether two answers are equal, decided exactly and at once; None when only math-verify can tell.

    Equal strings are equal answers. Two integers, or two products of powers such as a^4b^0c^12 (LaTeX: c to the 1,
    times 2, which is not of this form), have a unique normal form, so they are equal iff the forms are. Parsing such
    a product with math-verify takes 0.1 s; most answers of the built-in domain are decided here.
    """
    if gold == answer:
        return True
    if _INTEGER.fullmatch(gold) and _INTEGER.fullmatch(answer):
        return int(gold) == int(answer)
    if _MONOMIAL.fullmatch(gold) and _MONOMIAL.fullmatch(answer):
        return _exponents(gold) == _exponents(answer)
    return None


def _exponents(monomial: str) -> Counter[str]:
    """'a^4b^0' -> {a: 4}; Counters compare as if a missing letter had exponent 0."""
    exponents: Counter[str] = Counter()
    for letter, digit, braced in _POWER.findall(monomial):
        exponents[letter] += int(digit or braced)
    return exponents
