r"""Extracts the answers that a response claims, and compares answers that need no computer algebra system.

Only the text after the last thought counts (see `thoughts`). A response that was cut inside a thought has no answer.

A response claims the content of every \boxed{...} in that text, and an answer announced in words after the last box
("final answer: 41"). It is correct if all its claims are. The same answer boxed twice, in any forms, is therefore
correct; two different answers are wrong; an empty box claims nothing.
"""

import re
from collections import Counter
from collections.abc import Iterable

from actors.verification.thoughts import DEFAULT_THOUGHTS, Thoughts, after_last_thought

MAX_ANSWER_CHARS = 1000
"""Longest content of a box; longer ones are refused unparsed."""

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


def claimed_answers(text: str, thoughts: Thoughts = DEFAULT_THOUGHTS) -> tuple[str, ...]:
    r"""The different answers that a response claims, in order.

    Empty if there is no filled box, if the last box is not closed (the response was cut), or if the last box is
    retracted by the words after it ("\boxed{42} is wrong") or before it ("it is not \boxed{42}").
    """
    answer_text = after_last_thought(text, thoughts)
    if answer_text is None:
        return ()
    text = answer_text
    boxes = _boxes(text)
    if not boxes:
        return ()
    start, stop, _ = boxes[-1]
    if _CALLED_WRONG.match(text, stop) or _DENIED.search(text[max(0, start - 40) : start]):
        return ()
    announced = [next(filter(None, match.groups())).strip() for match in _ANNOUNCED.finditer(text, stop)]
    return tuple(dict.fromkeys([*(content for _, _, content in boxes), *announced]))


def num_unboxed(responses: Iterable[str]) -> int:
    r"""Number of responses without \boxed, which claim nothing."""
    return sum("\\boxed" not in response for response in responses)


def _boxes(text: str) -> list[tuple[int, int, str]]:
    """(start, stop, content) of every filled box, in one pass; an inner box is part of the outer one's content.

    Empty if the last box is not closed.
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
    """Whether `compare_plainly` can parse the answer: an integer or a product of powers. math-verify can, too."""
    return bool(_INTEGER.fullmatch(answer) or _MONOMIAL.fullmatch(answer))


def compare_plainly(reference: str, answer: str) -> bool | None:
    """Whether two answers are equal, decided exactly; None if only math-verify can decide.

    Equal strings are equal answers. Integers and products of powers such as a^4b^0c^{12} have a unique normal form, so
    they are equal iff their forms are. (c^12 is not of this form: in LaTeX it is c^1 times 2.) Most answers of the
    built-in domain are decided here; math-verify takes 0.1 s to parse such a product.
    """
    if reference == answer:
        return True
    if _INTEGER.fullmatch(reference) and _INTEGER.fullmatch(answer):
        return int(reference) == int(answer)
    if _MONOMIAL.fullmatch(reference) and _MONOMIAL.fullmatch(answer):
        return _exponents(reference) == _exponents(answer)
    return None


def _exponents(monomial: str) -> Counter[str]:
    """'a^4b^0' -> {a: 4, b: 0}. Counters compare equal if a missing letter has exponent 0 in the other."""
    exponents: Counter[str] = Counter()
    for letter, digit, braced in _POWER.findall(monomial):
        exponents[letter] += int(digit or braced)
    return exponents
