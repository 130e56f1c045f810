r"""The parts of an answer, any of which a solution may reach before the whole: members, sides, real and imaginary part.

(3, 5)       3, 5           x=1, y=2     1, 2             3+4i           3, 4, 4i
\{1, 2\}     1, 2           [0, 7)       0, 7             2\pm\sqrt{3}   2+\sqrt{3}, 2-\sqrt{3}
\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}    1, 2, 3, 4
"""

import re

from actors.problems.number_words import in_digits
from actors.verification.answer_spelling import cleaned, parts, sides_of

MAX_DEPTH = 4
"""Of nested brackets that are opened; what is deeper stays whole."""
_THOUSANDS = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?")
_TEXT = re.compile(r"\\(?:text(?:bf|it|rm)?|math(?:rm|bf)|mbox)\s*\{([^{}]*)\}")
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\s*\{[a-z]*(?:matrix|array|cases|aligned)\*?\}(?:\{[lcr|]*\})?")
_CELL_END = re.compile(r"&|\\\\(?:\[[^\]]*\])?")
_BRACKETED = re.compile(r"(?:\\[{]|\\langle|[(\[])(?P<inside>.+)(?:\\[}]|\\rangle|[)\]])", re.DOTALL)
_JOINED = re.compile(r"\\(?:cup|cap|vee|wedge|lor|land|leq?|geq?|lt|gt|in|neq?)(?![a-zA-Z])|[<>;|]")
_COMPLEX = re.compile(r"(?P<real>[^ij]+?)(?P<sign>[+-])(?P<imaginary>[^+\-ij]*)(?:\\(?:cdot|,))?\s*[ij]")
_INFINITE = re.compile(r"[+-]?\s*\\infty|\\emptyset|\\varnothing|[a-zA-Z]|\\mathbb\s*\{?[A-Z]\}?")


def whole_forms(answer: str) -> list[str]:
    """The spellings of the whole answer: in digits and cleaned, and its last side if it is an equation."""
    text = cleaned(_plain(answer))
    members = parts(text)
    forms = [text] if len(members) > 1 else [text, cleaned(sides_of(text)[-1])]
    return [form for form in dict.fromkeys(forms) if form]


def part_forms(answer: str) -> list[str]:
    """The values that make up the answer, without those that say nothing: infinity, a letter, the empty set."""
    found = list(_opened(_plain(answer), MAX_DEPTH))
    return [part for part in dict.fromkeys(found) if part and not _INFINITE.fullmatch(part)]


def _plain(answer: str) -> str:
    """The answer in digits, without \\text around it; 1,000 is one number."""
    text = in_digits(answer).strip("$ ")
    if match := _TEXT.fullmatch(text):
        text = match[1].strip()
    return text.replace(",", "") if _THOUSANDS.fullmatch(text.replace("\\!", "")) else text


def _opened(text: str, depth: int) -> list[str]:
    """The text itself if it has no parts, else the parts of its parts."""
    cells = _CELL_END.split(_ENVIRONMENT.sub("", text)) if _ENVIRONMENT.search(text) else [text]
    found = []
    for cell in cells:
        for part in parts(cleaned(cell)):
            for joined in _JOINED.split(cleaned(sides_of(part)[-1])):
                found += _opened_value(cleaned(joined), depth)
    return found


def _opened_value(value: str, depth: int) -> list[str]:
    if depth and (match := _BRACKETED.fullmatch(value)):
        return [value, *_opened(match["inside"], depth - 1)]
    if "\\pm" in value:
        return [cleaned(value.replace("\\pm", sign)) for sign in "+-"]
    if match := _COMPLEX.fullmatch(value.replace(" ", "")):
        imaginary = match["imaginary"].removesuffix("\\cdot") or "1"
        signed = imaginary if match["sign"] == "+" else f"-{imaginary}"
        return [value, match["real"], imaginary, signed, f"{imaginary}i", f"{signed}i"]
    return [value]
