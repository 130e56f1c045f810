r"""What a response claims, and the answers that can be compared without a computer algebra system.

Only text after the last `</think>` counts; a thought that is opened there and never closed leaves no answer. (When the
chat template opens the thought, a response that never closes it cannot be told from one without any thought.)

A response claims the content of every \boxed{...} in that text and, when it goes on to announce another one in so many
words ("final answer: 41"), that one too. It is right when all it claims is right. So one answer boxed twice, in
whatever form, is one answer; two different ones are a hedge and wrong; an empty box claims nothing.
"""

import re
from collections import Counter
from collections.abc import Iterable

MAX_ANSWER_CHARS = 1000
"""A longer box is never an answer; parsing it is only a way to burn time."""

_BOX = re.compile(r"\\+boxed\s*\{")
_BRACE = re.compile(r"\\+boxed\s*\{|\\.|[{}]", re.DOTALL)
_INNER_BOX = re.compile(r"\\+boxed\s*(?=\{)")
_ANNOUNCED = re.compile(
    r"""
    \b(?:final|correct|actual|real|right|true)\s+answer\b [\s*_]* (?:is|was|equals|should\ be|:|=) [\s:*_]*
    (?: \$+ ([^$]{1,200}) \$+ | \\\( (.{1,200}?) \\\) | (-?[0-9][0-9,]*(?:\.[0-9]+)?(?:/[0-9]+)?) )
    """,
    re.IGNORECASE | re.VERBOSE,
)
_CALLED_WRONG = re.compile(
    r"""[\s$*)\\\]]* (?:is|was)\s+(?:(?!not\b|never\b)[a-z]+\s+)?
    (?:wrong|incorrect|not\s+(?:correct|right|the\ answer))\b""",
    re.IGNORECASE | re.VERBOSE,
)
_DENIED = re.compile(r"(?:\bnot|n't)\s*(?:equal\s+to\s*)?[\s$*(\\\[]*$", re.IGNORECASE)

_INTEGER = re.compile(r"-?[0-9]{1,18}")
_POWER = re.compile(r"([a-df-hj-z])\^(?:([0-9])|\{([0-9]{1,6})\})")  # not e and i: they are constants
_MONOMIAL = re.compile(rf"(?:{_POWER.pattern})+")


def claimed_answers(text: str) -> tuple[str, ...]:
    r"""The different answers a response claims, in their order; empty when it has none.

    There is none without a filled box, when the last box is not closed (the response was cut off), or when the last
    box is taken back: the words right behind it call it wrong ("\boxed{42} is wrong"), those right before it deny it
    ("it is not \boxed{42}").
    """
    text = text.rpartition("</think>")[2]
    if "<think>" in text:
        return ()
    boxes = _boxes(text)
    if not boxes:
        return ()
    start, stop, _ = boxes[-1]
    if _CALLED_WRONG.match(text, stop) or _DENIED.search(text[max(0, start - 40) : start]):
        return ()
    announced = [next(filter(None, match.groups())).strip() for match in _ANNOUNCED.finditer(text, stop)]
    return tuple(dict.fromkeys([*(content for _, _, content in boxes), *announced]))


def num_unboxed(responses: Iterable[str]) -> int:
    r"""How many hold no \boxed at all, and so claim nothing. What the others claim is not looked at."""
    return sum("\\boxed" not in response for response in responses)


def _boxes(text: str) -> list[tuple[int, int, str]]:
    """(start, stop, content) of every filled box, in one pass; a box in a box counts as the braces it stands in.

    Empty when the last box is not closed.
    """
    boxes, end = [], 0
    while box := _BOX.search(text, end):
        depth = 1
        for brace in _BRACE.finditer(text, box.end()):
            if brace[0] == "}":
                depth -= 1
            elif brace[0] == "{" or len(brace[0]) > 2:  # not an escaped one
                depth += 1
            if depth == 0:
                break
        if depth:
            return []
        end = brace.end()
        if content := _INNER_BOX.sub("", text[box.end() : brace.start()]).strip():
            boxes.append((box.start(), end, content))
    return boxes


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
