r"""Detects whether a piece of a solution shows the final answer in a form that a verifier would accept.

A piece shows the answer when it
- has a box, or announces an answer ("the answer is", "final answer", "answer:", "####");
- contains an answer of two or more characters as a separate token, in any spelling of equal value (033 and 33, 1,000
  and 1000, \frac12 and 0.5), unless the statement contains it too;
- ends with "= X" or "is X", where X is the answer, of any length. Elsewhere a single digit is an ordinary number.

If the answer is a list, a claim ("= X") of any one value shows it; the other rules apply to the whole list only.
"""

import re

from actors.verification import exact_numbers
from actors.verification.answer_spelling import cleaned, parts, sides_of

_ANNOUNCED = re.compile(
    r"\\(?:boxed|fbox)\b|####|\bfinal\s+answer|\banswers?\s*(?:[:=]|is\b|are\b|of\b|must\b|should\b|would\b|will\b|comes\b|to\b)",
    re.IGNORECASE,
)
_MATH = re.compile(r"\$\$?([^$]+)\$|\\\[(.+?)\\\]|\\\((.+?)\\\)|\\begin\{[a-z]+\*?\}(.+?)\\end", re.DOTALL)
_NUMBER = re.compile(r"(?<![0-9a-zA-Z.^_{\\])-?[0-9][0-9,]*(?:\.[0-9]+)?(?:/[0-9]+)?(?![0-9a-zA-Z^_])")
_SIZES = re.compile(r"\\(?:left|right)(?![a-zA-Z])\s*")
_PIECES = re.compile(
    r"&|\\\\|\\(?:approx|equiv|implies|iff|[rR]ightarrow|Longrightarrow|to|leq?|geq?|lt|gt|quad|qquad)(?![a-zA-Z])|[=<>,;]"
    r"|\\text\s*\{[^{}]*\}"
)
_CLAIM = re.compile(
    r"=|\b(?:is|are|equals?|be|get|gives?|yields?|obtain|totals?|have|of)\b(?:\s+(?:exactly|only|just))?"
)
_TAIL = re.compile(r"(?:[\s$.!,;*]|\\\]|\\\)|\\end\{[a-z]+\*?\}|\\\\)+$")
_BRACKETS = re.compile(r"[\s)\]$.]+$")


def shows_answer(piece: str, answer: str, statement: str = "") -> bool:
    """Whether the piece shows the answer, by the rules above."""
    if _ANNOUNCED.search(piece):
        return True
    text = cleaned(answer)
    members = [cleaned(sides_of(member)[-1]) for member in parts(text)]
    if any(_claims_at_end(piece, form) for form in {text, *members} if form):
        return True
    whole = {text, members[0]} if len(members) == 1 else {text}
    return any(len(form) > 1 and _occurs_in(piece, form) and not _occurs_in(statement, form) for form in whole)


def _claims_at_end(piece: str, form: str) -> bool:
    """Whether the piece ends with `= form` or `is form`."""
    text = _TAIL.sub("", piece)[-len(form) - 60 :]
    ends = {text, _BRACKETS.sub("", text)}  # the second form is for "(so n = 5)" and tuples
    return any(_equal(form, end[claim.end() :].lstrip("&{ ")) for end in ends for claim in _CLAIM.finditer(end))


def _occurs_in(text: str, form: str) -> bool:
    """Whether the form, or a number equal to it, occurs in the text as a separate token."""
    if _pattern(form).search(_SIZES.sub(" ", text)):
        return True
    if not text or not _is_number(form):
        return False
    spans = [next(filter(None, match.groups()), "") for match in _MATH.finditer(text)]
    found = [piece for span in spans for piece in _PIECES.split(span)] + _NUMBER.findall(text)
    return any(_equal(form, each) for each in found)


def _equal(form: str, piece: str) -> bool:
    piece = cleaned(piece)
    if piece.replace(" ", "") == form.replace(" ", ""):
        return True
    return exact_numbers.compare(form, piece.replace(",", "") if form.isdecimal() else piece) is True


def _is_number(form: str) -> bool:
    return exact_numbers.compare(form, form) is True


def _pattern(form: str) -> re.Pattern[str]:
    """Matches the form as a separate token, with any spacing, leading zeros, and any size of fraction or bracket."""
    tokens = re.findall(r"\\[a-zA-Z]+|\\.|[0-9]+|\S", form)
    spelled = [r"\\[dtc]?frac" if token == "\\frac" else re.escape(token) for token in tokens]
    gap = r"(?:\s|\\[,;:! ]|~)*"
    zeros = "0*" if form[:1].isdigit() else ""
    return re.compile(rf"(?<![\w.^_\\])(?<![\^_]\{{){zeros}{gap.join(spelled)}(?![\w^_]|\.\d)")
