r"""Finds the boxes of a text, and the paragraphs they stand in. Linear in the text.

    \boxed{42}   \boxed {42}   \fbox{42}   \framebox[2cm]{42}   \\boxed{42}   \boxed 7   \boxed\frac12

A box inside a box is a part of its content. A blank line ends a paragraph, but not inside a box or a displayed formula.
"""

import re
from bisect import bisect_left
from dataclasses import dataclass
from typing import Literal

_BOX = re.compile(r"\\(?:boxed|[fb]box|framebox)(?![a-zA-Z])\s*(?:\[[^\[\]\n]{0,80}\]\s*){0,2}")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_INNER_BOX = re.compile(r"(?<!\\)\\+(?:boxed|[fb]box|framebox)\s*(?=\{)")
_BARE_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?|\.[0-9]+)(?:/[0-9]+|\\%)?")
_BARE_LETTER = re.compile(r"[a-zA-Z](?=\s*(?:[$.,;]|\\[)\]]|\Z))")
_BARE_COMMAND = re.compile(r"\\[a-zA-Z]+")
_SHORT_ARGUMENTS = {"frac": r"\s*[0-9]{2}", "dfrac": r"\s*[0-9]{2}", "tfrac": r"\s*[0-9]{2}", "sqrt": r"\s*[0-9]"}
"""Command -> arguments that TeX accepts without braces."""
_ONE_BACKSLASH = re.compile(r"(?<!\\)\\(?:\\\\)*(?=[a-zA-Z])")

_MATH = (
    r"\s*\{(?:equation|align|aligned|alignat|gather|gathered|multline|eqnarray|displaymath|array|cases|split"
    r"|[a-zA-Z]?matrix)\*?\}"
)
_BREAK = re.compile(rf"(?P<blank>\n[ \t\r]*\n)|(?P<open>(?<!\\)\\\[|\\begin{_MATH})|(?P<close>\\\]|\\end{_MATH})|\$\$")
_JOINED = re.compile(r"[^a-zA-Z]*(?:and|or)[^a-zA-Z]*")
_BEGINS_WITH_OR = re.compile(r"\n[ \t\r]*\n[^a-zA-Z]*(?:or|alternatively|otherwise)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Box:
    """One box of a text: `text[start:stop]`."""

    start: int
    stop: int
    content: str


def contains_box(text: str) -> bool:
    """Whether the text has the beginning of a box."""
    return bool(_BOX.search(text))


def boxes_of(text: str) -> list[Box] | Literal["cut"]:
    """The boxes of a text in order, also the empty ones; `cut` if the last one is not closed."""
    boxes: list[Box] = []
    position = 0
    while opening := _BOX.search(text, position):
        if opening.end() == len(text):
            return "cut"
        stop = _stop(text, opening.end())
        if stop is None:
            return "cut"
        if stop > opening.end():
            boxes.append(_box(text, opening, stop))
        position = max(stop, opening.end())
    return boxes


def _box(text: str, opening: re.Match[str], stop: int) -> Box:
    inside = text[opening.end() : stop]
    content = inside[1:-1] if inside.startswith("{") else inside
    start = opening.start()
    while start > 0 and text[start - 1] == "\\":
        start -= 1
    if opening.start() - start == 1 and not _ONE_BACKSLASH.search(content):
        content = content.replace("\\\\", "\\")  # the whole response has its backslashes doubled
    return Box(start, stop, _INNER_BOX.sub("", content).strip())


def _stop(text: str, start: int) -> int | None:
    """Where the content of a box ends that begins at `start`; None if it is cut off, `start` if there is none."""
    if text[start] == "{":
        return _closing_brace(text, start)
    if bare := _BARE_NUMBER.match(text, start) or _BARE_LETTER.match(text, start):
        return bare.end()
    command = _BARE_COMMAND.match(text, start)
    if not command:
        return start
    stop = command.end()
    if short := re.compile(_SHORT_ARGUMENTS.get(command[0][1:], r"(?!)")).match(text, stop):
        return short.end()
    while text.startswith("{", stop):
        closing = _closing_brace(text, stop)
        if closing is None:
            return None
        stop = closing
    return stop


def _closing_brace(text: str, start: int) -> int | None:
    """The position behind the brace that closes the one at `start`."""
    depth = 0
    for brace in _BRACE.finditer(text, start):
        depth += (brace[0] == "{") - (brace[0] == "}")
        if depth == 0:
            return brace.end()
    return None


def last_paragraph(text: str, boxes: list[Box]) -> list[Box]:
    """The boxes in the paragraph of the last one. A paragraph that goes on with `or` belongs to the one before it."""
    ends = _paragraph_ends(text)
    first = len(boxes) - 1
    while first > 0:
        before, after = boxes[first - 1].stop, boxes[first].start
        if bisect_left(ends, before) < bisect_left(ends, after) and not _goes_on(text[before:after]):
            break
        first -= 1
    return boxes[first:]


def _goes_on(between: str) -> bool:
    """Whether the text between two boxes in different paragraphs offers the second as an alternative to the first."""
    return bool(_JOINED.fullmatch(between) or _BEGINS_WITH_OR.search(between))


def _paragraph_ends(text: str) -> list[int]:
    """The positions of the blank lines outside of displayed formulas. A formula that is never closed is none."""
    dollars_match = text.count("$$") % 2 == 0
    ends: list[int] = []
    held: list[int] = []
    depth, in_dollars = 0, False
    for mark in _BREAK.finditer(text):
        if mark["blank"]:
            (held if depth or in_dollars else ends).append(mark.start())
            continue
        if mark["open"]:
            depth += 1
        elif mark["close"]:
            depth = max(0, depth - 1)
        elif dollars_match:
            in_dollars = not in_dollars
        if not depth and not in_dollars:
            held.clear()
    return [*ends, *held]
