r"""Extracts the answers that a response claims, and compares answers that need no computer algebra system.

Only the text after the last thought counts (see `thoughts`). A response that was cut inside a thought has no answer.

A response claims the boxes of the last paragraph that has any; those of earlier paragraphs are intermediate results.
It also claims an answer announced in words after the last box ("final answer: 41"). If only the last box of the
paragraph is announced as the answer ("first \boxed{10}, so the answer is \boxed{42}"), it counts alone. An empty box
claims nothing, nor does one followed by a question mark.

A response is correct if all its claims are. The same answer boxed twice, in any forms, is therefore correct, and two
different answers are wrong. Only if the reference answer has several values, the claims may be these values.
"""

import re
from collections import Counter
from collections.abc import Iterable

from actors.verification.boxes import Box, boxes_of, contains_box, last_paragraph
from actors.verification.thoughts import DEFAULT_THOUGHTS, Thoughts, after_last_thought
from actors.verification.typography import plain_latex
from actors.verification.wording import (
    is_asked,
    is_introduced,
    is_part_of_number,
    is_taken_back,
    name_of,
    offers_alternative,
    values_announced_after,
)

MAX_ANSWER_CHARS = 1000
"""Longest content of a box; longer ones are refused unparsed."""

MAX_BOXES = 100
"""Largest number of boxes that are read, from the last one backwards."""
_PLACEHOLDER = re.compile(
    r"[?.\s]*|\\[lc]?dots|(?:\\text\s*\{)?\s*(?:your |the |final )*answer(?: here)?\s*\}?", re.IGNORECASE
)

_INTEGER = re.compile(r"-?[0-9]{1,18}")
_POWER = re.compile(r"([a-df-hj-z])\^(?:([0-9])|\{([0-9]{1,6})\})")  # not e and i: they are constants
_MONOMIAL = re.compile(rf"(?:{_POWER.pattern})+")


def claimed_answers(text: str, thoughts: Thoughts = DEFAULT_THOUGHTS) -> tuple[str, ...]:
    r"""The different answers that a response claims, in order.

    Empty if there is no filled box, if the last box is not closed (the response was cut), or if the last box is
    taken back by the words after it ("\boxed{42} is wrong", "\boxed{42}?") or before it ("it is not \boxed{42}"),
    or if it holds a part of a number only ("-\boxed{42}", "\boxed{4}2").
    """
    rest = after_last_thought(text, thoughts)
    boxes = boxes_of(rest) if rest is not None else "cut"
    if rest is None or boxes == "cut":
        return ()
    return _claims(rest, [box for box in boxes[-MAX_BOXES:] if _is_filled(box)])


def _claims(text: str, boxes: list[Box]) -> tuple[str, ...]:
    """The claims of a text with these filled boxes."""
    if not boxes or is_taken_back(text, boxes[-1]) or is_part_of_number(text, boxes[-1]):
        return ()
    claiming = [box for box in last_paragraph(text, boxes) if not is_asked(text, box)]
    if _last_is_the_answer(text, claiming):
        claiming = claiming[-1:]
    return tuple(dict.fromkeys([*_contents(text, claiming), *values_announced_after(text, boxes[-1])]))


def _contents(text: str, boxes: list[Box]) -> list[str]:
    """The contents of boxes; with their names, if each is the value of another letter."""
    names = [name_of(text, box) for box in boxes]
    if len(boxes) < 2 or not all(names) or len(set(names)) < len(names):
        return [box.content for box in boxes]
    return [f"{name}={box.content}" for name, box in zip(names, boxes, strict=True)]


def _last_is_the_answer(text: str, boxes: list[Box]) -> bool:
    """Whether only the last of several boxes is announced as the answer, and not as an alternative to another."""
    if len(boxes) < 2:
        return False
    introduced = [is_introduced(text, box) for box in boxes]
    return introduced == [False] * (len(boxes) - 1) + [True] and not offers_alternative(text, *boxes[-2:])


def _is_filled(box: Box) -> bool:
    r"""Whether a box prints an answer: not \boxed{}, \boxed{\phantom{2}}, \boxed{\checkmark} or \boxed{?}."""
    return bool(box.content) and not _PLACEHOLDER.fullmatch(plain_latex(box.content))


def num_unboxed(responses: Iterable[str]) -> int:
    r"""Number of responses without \boxed, which claim nothing."""
    return sum(not contains_box(response) for response in responses)


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
