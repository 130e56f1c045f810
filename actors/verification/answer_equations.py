"""Equations in answers: which of them name a result (`x=5`), and the answer without the name. Pure."""

import re
import string

from actors.verification.answer_shapes import shape_of
from actors.verification.answer_spelling import ARGUMENTS, SUBSCRIPT, parts, sides_of

_INVERSE = re.compile(r"\^\s*\{\s*-\s*1\s*\}(?=\s*\()")
_POWER_OF_MATRIX = re.compile(r"[A-Z]\s*\^\s*(?:[0-9T]|\{[^{}]*\})")
_ELEMENT = re.compile(r"(?:[a-zA-Z]|\(\s*[a-zA-Z](?:\s*,\s*[a-zA-Z])*\s*\))\s*\\in(?![a-zA-Z])\s*(.+)", re.DOTALL)


def breaks_equation_rule(reference: str, answer: str) -> bool:
    """Whether the answer is a chain, or an equation whose left side is not a name; see `answer_rules`."""
    allowed = max(len(sides_of(part)) - 1 for part in parts(reference))
    for part in parts(answer):
        sides = sides_of(part)
        if len(sides) - 1 > max(1, allowed):
            return True
        if len(sides) == 2 and not allowed and not _is_name(sides[0]) and not _is_power_of_matrix(*sides):
            return True
    return False


def _is_power_of_matrix(name: str, value: str) -> bool:
    """Whether the sides are such as `A^{-1}` and a matrix; `x^2=4` does not say what x is."""
    return bool(_POWER_OF_MATRIX.fullmatch(name)) and shape_of(value).kind == "matrix"


def _is_name(latex: str) -> bool:
    """Whether the text has letters and no numbers outside arguments and indices: x, f(2), f^{-1}(x), a_{10}, m+n."""
    bare = ARGUMENTS.sub("", _INVERSE.sub("", SUBSCRIPT.sub("", latex)))
    return bool(re.search("[a-zA-Z]", bare)) and not re.search("[0-9]", bare)


def without_names(reference: str, answer: str) -> tuple[str, str]:
    """`x=5` -> `5`, if only one of the two has a name, or if both have the same name."""
    reference, answer = (match[1] if (match := _ELEMENT.fullmatch(side)) else side for side in (reference, answer))
    reference_parts, answer_parts = ([sides_of(part) for part in parts(side)] for side in (reference, answer))
    reference_named, answer_named = (max(map(len, sides)) == 2 for sides in (reference_parts, answer_parts))
    if reference_named and answer_named:
        (name, *reference_values), (other, *answer_values) = reference_parts[0], answer_parts[0]
        if len(reference_parts) == len(answer_parts) == 1 and _is_name(name) and name.split() == other.split():
            return reference_values[0], answer_values[0]
    elif answer_named and max(map(len, reference_parts)) == 1:
        answer = ",".join(sides[-1] for sides in _in_order_of_names(answer_parts))
    elif reference_named and len(reference_parts) == 1 and max(map(len, answer_parts)) == 1:
        name, value = reference_parts[0]
        if _is_name(name):
            reference = value
    return reference, answer


def _in_order_of_names(parts_of_answer: list[list[str]]) -> list[list[str]]:
    """`y=2, x=1` in the order of a tuple, `x=1, y=2`; unchanged unless the names are neighbours in the alphabet."""
    names = sorted(sides[0] for sides in parts_of_answer)
    letters = "".join(names)
    if len(letters) == len(names) and (letters in string.ascii_lowercase or letters in string.ascii_uppercase):
        return sorted(parts_of_answer)
    return parts_of_answer
