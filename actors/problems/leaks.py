r"""Whether a piece of a solution shows the final answer in a form that a verifier would accept.

A piece shows the answer when it
- boxes anything, or says that an answer follows ("the answer is", "final answer", "answer:", "####");
- holds an answer of two characters or more standing alone, in any spelling that is equal exactly (033 and 33, 1,000 and
  1000, \frac12 and 0.5), unless that stands in the statement too;
- ends on "= X" or "is X", whatever the answer X. A single digit anywhere else is an ordinary number of the solution.

Of a list of answers, any member claimed like that shows the answer; standing alone counts for the whole list only.
"""

import re

from actors.verification import exact_numbers as exact
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
    """See the file."""
    if _ANNOUNCED.search(piece):
        return True
    text = cleaned(answer)
    members = [cleaned(sides_of(member)[-1]) for member in parts(text)]
    if any(_ends_on(piece, form) for form in {text, *members} if form):
        return True
    whole = {text, members[0]} if len(members) == 1 else {text}
    return any(len(form) > 1 and _stands_in(piece, form) and not _stands_in(statement, form) for form in whole)


def _ends_on(piece: str, form: str) -> bool:
    """Whether the piece ends on `= form` or `is form`."""
    text = _TAIL.sub("", piece)[-len(form) - 60 :]
    ends = {text, _BRACKETS.sub("", text)}  # (so n = 5), and a tuple
    return any(_equal(form, end[claim.end() :].lstrip("&{ ")) for end in ends for claim in _CLAIM.finditer(end))


def _stands_in(text: str, form: str) -> bool:
    """Whether the form, or a number equal to it, stands alone somewhere in the text."""
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
    return exact.compare(form, piece.replace(",", "") if form.isdecimal() else piece) is True


def _is_number(form: str) -> bool:
    return exact.compare(form, form) is True


def _pattern(form: str) -> re.Pattern[str]:
    """The form standing alone, with any spacing, zeros in front, and any size of fraction or bracket."""
    tokens = re.findall(r"\\[a-zA-Z]+|\\.|[0-9]+|\S", form)
    spelled = [r"\\[dtc]?frac" if token == "\\frac" else re.escape(token) for token in tokens]
    gap = r"(?:\s|\\[,;:! ]|~)*"
    zeros = "0*" if form[:1].isdigit() else ""
    return re.compile(rf"(?<![\w.^_\\])(?<![\^_]\{{){zeros}{gap.join(spelled)}(?![\w^_]|\.\d)")
