"""Detects answers that are refused unparsed: too costly to parse or evaluate, or with invisible characters."""

import re
import unicodedata

from actors.verification.answer_spelling import has_variable

MAX_NESTING = 20
"""Depth of brackets of all kinds; answers of data sets have at most 6."""
MAX_COMMAS = 100
"""Commas of a list; answers of data sets have fewer than 70."""
MAX_EXPONENT_DIGITS = 4
MAX_FACTORIAL_DIGITS = 4


def has_hidden_characters(text: str) -> bool:
    """Whether the text has a control, format (zero-width, right-to-left), private-use or surrogate character."""
    return any(unicodedata.category(char) in ("Cc", "Cf", "Co", "Cs") for char in text if char not in "\n\t\r")


_LONG_EXPONENT = re.compile(rf"\^\s*(?:\{{[^{{}}]*?)?[0-9]{{{MAX_EXPONENT_DIGITS + 1},}}")
_NUMERIC_TOWER = re.compile(r"\^\s*\{[^{}a-zA-Z]*(?:\^|!|\*|\)\s*\(|\\cdot|\\times)")
_HIGH_TOWER = re.compile(
    r"\^\s*\{[^{}]*\^\s*\{[^{}]*\^|([_^])\s*[0-9a-zA-Z]\s*\1"  # the second: x^2^3, which LaTeX refuses too
    r"|\^[^a-zA-Z()]*\)\s*\^\s*\{?\s*[0-9]{3}"
)
_BIG_NUMBER = re.compile(rf"[0-9]{{{MAX_FACTORIAL_DIGITS + 1},}}|[0-9]\s*\^")
_FACTORIAL = re.compile(r"(?P<argument>\([^()]*\)|\{[^{}]*\}|[0-9]+|[)}])\s*!")
_BINOMIAL = re.compile(
    r"\\[dt]?binom\s*(?:\{[^{}]*\}\s*\{[^{}]*\}|[0-9]\s*[0-9])|\\[dt]?binom.*|.*\\choose.*", re.DOTALL
)
"""The second and third kind, with nested arguments, extend to the end of the text."""


def is_too_nested(answer: str) -> bool:
    """Whether brackets or lists exceed the limits of this module."""
    depth = deepest = 0
    for char in answer:
        depth += (char in "{([") - (char in "})]")
        deepest = max(deepest, depth)
    return deepest > MAX_NESTING or answer.count(",") > MAX_COMMAS


def is_too_costly(answer: str) -> bool:
    """Whether powers, factorials or binomials exceed the limits of this module."""
    if _LONG_EXPONENT.search(answer) or _HIGH_TOWER.search(answer) or re.search(r"!\s*[)}]?\s*!", answer):
        return True
    if any(_is_big(match[0]) for match in _BINOMIAL.finditer(answer)):
        return True
    if any(_is_big(match["argument"]) for match in _FACTORIAL.finditer(answer)):
        return True
    return not has_variable(answer) and bool(_NUMERIC_TOWER.search(answer) or re.search(r"[)}]\s*[)}]\s*!", answer))


def _is_big(latex: str) -> bool:
    return bool(_BIG_NUMBER.search(latex)) and not has_variable(latex)
