r"""What the words around a box say about it: that it is the answer, is taken back, is asked for, or has an alternative.

Reads English. Other words are not understood, and then the box is a claim like any other. Linear in the text.
"""

import re

from actors.verification.boxes import Box

CONTEXT_CHARS = 120
"""How far before a box its introduction is looked for."""

_CLOSERS = r"[\s$*_)\\\].,;:!}]*+"
_HESITATION = r"(?:(?:hmm+|no|nope|wait|oh|oops|actually|but|well)\b[\s,.!:\u2026]*)*"
_WRONG = r"(?:wrong|incorrect|false|impossible|not\s+(?:correct|right|true|the\ answer))\b(?!-)"
_ADVERB = r"(?:(?!not\b|never\b)[a-z]+\s+)?"
_TAKEN_BACK_AFTER = re.compile(
    rf"""
    {_CLOSERS} \?
    | [\s$*)\\\]]*+ (?:is|was) \s+ {_ADVERB} {_WRONG}
    | {_CLOSERS} {_HESITATION} (?:that|this|it) (?:'s|\s+(?:is|was|seems|looks|must\s+be)) \s+ {_ADVERB} {_WRONG}
    | {_CLOSERS} {_HESITATION} (?:that|this|it) \s+ (?:can't|cannot|can\s+not|doesn't|does\s+not) \s+ (?:be|look|seem)
        \s+ (?:right|correct|true)\b
    | {_CLOSERS} {_HESITATION} I \s+ (?:think\s+I\s+)? made \s+ an?\s+ (?:[a-z]+\s+)? (?:mistake|error)\b
    | {_CLOSERS} (?:hmm+|no|nope|wait)\b [\s,.!:\u2026]* {_HESITATION} \Z
    | {_CLOSERS} (?:no|nope)[,.!]
    """,
    re.IGNORECASE | re.VERBOSE,
)
_ASKED = re.compile(rf"{_CLOSERS}\?")
_DENIED_BEFORE = re.compile(
    r"""(?: (?: \b(?:can)?not | n't | \bnever ) (?:\s+be)? | \brather\s+than | \binstead\s+of | \\neq?
    | \b(?:wrong|incorrect) \s+ (?:answer|result|value) \s+ (?:is|was|of) )
    \s* (?:equal\s+to\s*)? [\s$*(\\\[]* \Z""",
    re.IGNORECASE | re.VERBOSE,
)
_BEGUN_BEFORE = re.compile(r"(?:[0-9]\.|(?<![-\w])[-\u2212]|(?:[=$(]|\\[(\[])\s*[-\u2212]\s*|\\pm\s*)\Z")
_CONTINUED_AFTER = re.compile(
    r"[0-9]|\.[0-9]|,[0-9]{3}(?![0-9])|\s*\^\s*\{?\s*[-+]?[0-9]|\s*/\s*[0-9]|\s*\\(?:times|cdot)\s*[0-9]|\\[dtc]?frac"
)
_NAMED_BEFORE = re.compile(r"(?<![a-zA-Z\\])([a-zA-Z])\s*=[\s$]*\Z")
_NUMBER = r"\\?\$? ((?> -?[0-9][0-9,]*(?:\.[0-9]+)?(?:/[0-9]+)?(?:\s*\\?%)? ))"
_IS_A_FACTOR = r"\s* (?: [\^/+\\] | \*(?!\*)\s*[0-9a-zA-Z(] )"
_VALUE = (
    rf"(?: \$+ ((?:[^$.\n]|\.(?=[0-9])){{1,200}}) \$+ | \\\( (.{{1,200}}?) \\\) | {_NUMBER} (?! {_IS_A_FACTOR} ) )"
)
_IS = r"\b[\s*_]* (?:is | was | equals | should\ be | : | =) [\s:*_]*"
_ANNOUNCED = re.compile(
    rf"\b(?:final|correct|actual|real|right|true)\s+answer{_IS} {_VALUE}"
    rf"| \b(?:the|my|our)\s+answer{_IS} \$* {_NUMBER} (?! {_IS_A_FACTOR} | \s*[=<>-] )",
    re.IGNORECASE | re.VERBOSE,
)
_OR_ELSE = re.compile(
    rf"""[\s$*_)\\\].,(]* (?: \b or\b | (?<=\\) text\s*\{{\s*or\s*\}} )
    (?: [\s,] | (?:maybe|perhaps|possibly|equivalently|simply|just|even)\b )*
    {_VALUE} (?!\s*[a-zA-Z])""",
    re.IGNORECASE | re.VERBOSE,
)
_INTRODUCTION = re.compile(
    r"""
    (?: \b(?:the|my|our) \s+ (?:(?:final|correct|right|required|desired|actual)\s+)* answer\b | \bfinal\s+answer\b
      | (?: \A | [\n.*\#] ) \s* answer\b )
    (?: [\s:*_,=] | \b(?:is|are|was|equals|thus|therefore|then|indeed|simply)\b
      | \bto\s+(?:the|this)\s+(?:problem|question)\b )*
    [\s$({\\\[]* (?: [^.!?\n]{1,80}= )? [\s$({\\\[]* \Z
    """,
    re.IGNORECASE | re.VERBOSE,
)
_ALTERNATIVE = re.compile(r"\b(?:or|either|alternatively|otherwise|maybe|perhaps|possibly)\b", re.IGNORECASE)


def _before(text: str, box: Box) -> str:
    """The text before a box, as far as it is looked at."""
    return text[max(0, box.start - CONTEXT_CHARS) : box.start]


def is_taken_back(text: str, box: Box) -> bool:
    r"""Whether the words after a box call it wrong or doubt it at once, or the words before it deny it."""
    before = _before(text, box)
    return bool(_TAKEN_BACK_AFTER.match(text, box.stop) or _DENIED_BEFORE.search(before))


def is_part_of_number(text: str, box: Box) -> bool:
    r"""Whether a box has no sign, or not all digits or factors, of its number: -\boxed{5}, \boxed{7}2, \boxed{1}.5.

    People box the part of a number that is asked for: \frac{\boxed{3}}{4}, and 20\boxed{13} for the last two digits.
    """
    before = _before(text, box)
    return bool(_BEGUN_BEFORE.search(before) or _CONTINUED_AFTER.match(text, box.stop))


def name_of(text: str, box: Box) -> str:
    r"""The letter whose value a box is: `x` for `x=\boxed{5}`; empty if there is none."""
    named = _NAMED_BEFORE.search(_before(text, box))
    return named[1] if named else ""


def is_asked(text: str, box: Box) -> bool:
    """Whether a question mark follows the box."""
    return bool(_ASKED.match(text, box.stop))


def is_introduced(text: str, box: Box) -> bool:
    """Whether the words before a box announce it as the answer."""
    return bool(_INTRODUCTION.search(_before(text, box)))


def offers_alternative(text: str, first: Box, second: Box) -> bool:
    """Whether the words between two boxes offer the second as an alternative to the first."""
    return bool(_ALTERNATIVE.search(text, first.stop, second.start))


def values_announced_after(text: str, box: Box) -> list[str]:
    r"""The values that are called the answer after a box ("final answer: 41"), or offered beside it ("or 41")."""
    matches = [*_ANNOUNCED.finditer(text, box.stop), *filter(None, [_OR_ELSE.match(text, box.stop)])]
    return [next(filter(None, match.groups())).strip() for match in matches]
