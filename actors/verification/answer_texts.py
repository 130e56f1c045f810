r"""Answers that are texts and no expressions: words, options of a multiple-choice problem, numerals, times and ratios.

Each function compares two cleaned answers, and returns None if they are not of its kind.
"""

import re
from fractions import Fraction

from actors.verification import exact_numbers

_WRAPPER = re.compile(r"\\(?:text(?:rm|bf|it|normal|sf)?|math(?:rm|bf|it|sf)|mbox|operatorname)\s*\{([^{}]*)\}")
_LETTERS = re.compile(r"[A-Za-z][A-Za-z' .-]*")
_ARTICLE = re.compile(r"\A(?:an?|the) (?=[a-z]{3})", re.IGNORECASE)
_NO_WORD = re.compile(r"\\|\b(?:sin|cos|tan|cot|sec|csc|log|ln|exp|pi|sqrt|inf|infinity)\b")
_FIGURE = re.compile(
    r"\\(angle|measuredangle|triangle|square|odot|overline|overrightarrow|overleftrightarrow|vec|widehat|overarc)"
    r"\s*\{?\s*(?:\\(?:text|mathrm)\s*\{)?([A-Z]{2,})\s*\}?\}?"
)
"""An angle, a triangle or a line by the names of its points."""
_PRODUCT = re.compile(r"[a-z]{1,3}|[A-Za-z]")
_YES_OR_NO = ("yes", "no", "true", "false", "none")


def compare_words(reference: str, answer: str) -> bool | None:
    r"""Whether two words or names are equal: order and case count, so that SOS, OSS and sos are three answers.

    The first letter of a word of lower-case letters may be a capital: Monday and monday. One to three bare lower-case
    letters are no word but a product of variables, unless the other answer is a word.
    """
    expected, given = _word(reference), _word(answer)
    if expected is None and given is None:
        return reference == answer if len(reference) == len(answer) == 1 and (reference + answer).isalpha() else None
    if expected is None:
        return False if _letters(reference) is None else _same_word(_letters(reference) or "", given or "")
    letters = _letters(answer)
    return letters is not None and _same_word(expected, letters)


def _letters(latex: str) -> str | None:
    """The text without \\text{}, if it has letters only."""
    if figure := _FIGURE.fullmatch(latex):
        return f"{figure[1]} {figure[2]}"
    text = " ".join(_WRAPPER.sub(r"\1", latex).split())
    return _ARTICLE.sub("", text).rstrip(" .") if _LETTERS.fullmatch(text) and not _NO_WORD.search(text) else None


def _word(latex: str) -> str | None:
    letters = _letters(latex)
    return None if letters is None or (latex == letters and _PRODUCT.fullmatch(letters)) else letters


def _same_word(first: str, second: str) -> bool:
    if first == second:
        return True
    if first.lower() != second.lower():
        return False
    return first.lower() in _YES_OR_NO or (len(first) > 2 and all(_is_ordinary(word) for word in (first, second)))


def _is_ordinary(text: str) -> bool:
    return text[1:] == text[1:].lower()


_OPTION = re.compile(
    r"(?:\\(?:text|mathrm)(?:bf|rm)?\s*\{\s*)?(?:option|choice)?\s*(?:\(([A-J])\)|([A-J])[).])\s*\}?\s*(.*)", re.DOTALL
)
_OPTION_ALONE = re.compile(
    r"(?:\\text(?:bf|rm)?\s*\{\s*(?:[Oo]ption |[Cc]hoice )?\(?|(?:[Oo]ption |[Cc]hoice )?\(?)([A-J])(?:\)?\s*\}|\)?)"
)


def split_option(latex: str) -> tuple[str, str]:
    r"""(letter, value): `\textbf{(B)}\ 7` -> ("B", "7"); `C` -> ("C", ""); `7` -> ("", "7")."""
    if alone := _OPTION_ALONE.fullmatch(latex):
        return alone[1], ""
    if match := _OPTION.fullmatch(latex):
        return match[1] or match[2], match[3].strip()
    return "", latex


_WORD_BASES = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
_WORD_BASES |= {"eleven": 11, "twelve": 12, "sixteen": 16}
_NUMERAL = re.compile(
    r"\(?([0-9A-F][0-9A-F ,]*)\)?\s*_\s*(?:([2-9])|\{\s*([0-9]{1,2})\s*\}"
    r"|\{?\s*\\?(?:text|mathrm)?\s*\{?\s*([a-z]{3,8})\s*\}?\s*\}?)"
)


_CAPITALS = re.compile(r"\\(?:text|mathrm)\s*\{\s*([A-F]+)\s*\}")


def compare_numerals(reference: str, answer: str) -> bool | None:
    """Whether two numerals with a base are equal: 101_2 and 101_{two}, but neither 101_5 nor 5.

    Base 10 may be left out.
    """
    expected, given = _numeral(reference), _numeral(answer)
    if expected is None and given is None:
        return None
    return _with_base(reference, expected) == _with_base(answer, given)


def _numeral(latex: str) -> tuple[str, int] | None:
    match = _NUMERAL.fullmatch(_CAPITALS.sub(r"\1", latex))
    if not match or not re.search("[0-9]|..", match[1]):  # F_{10} is a Fibonacci number
        return None
    base = int(match[2] or match[3] or 0) or _WORD_BASES.get(match[4] or "", 0)
    return (re.sub("[ ,]", "", match[1]).lstrip("0") or "0", base) if base else None


def _with_base(latex: str, numeral: tuple[str, int] | None) -> tuple[str, int]:
    return numeral or (latex.lstrip("0") or "0", 10)


_TERMS = re.compile(r"[^:]+(?::[^:]+)+")
_TIME = re.compile(
    r"([0-9]{1,2})(?:\s*:\s*([0-5][0-9])(?:\s*:\s*([0-5][0-9]))?)?\s*(?:\\(?:text|mathrm)\s*\{)?\s*"
    r"(?:([ap])\.?\s*m\.?)?\s*\}?",
    re.IGNORECASE,
)


def compare_ratios(reference: str, answer: str) -> bool | None:
    """Whether two times or ratios are equal.

    Times are equal digit by digit; am and pm may be left out. Ratios are equal if their terms are proportional, and
    with a term 0 only if they are equal term by term: 0:1 is no other way to write 0:2. A ratio of two terms equals
    their fraction.
    """
    times = _time(reference), _time(answer)
    if times[0] and times[1]:
        return _same_time(times[0], times[1])
    if any(time and time[2] and (time[4] or time[2][0] == "0") for time in times):
        return False
    if not _TERMS.fullmatch(reference) and not _TERMS.fullmatch(answer):
        return None
    try:
        expected, given = _terms(reference), _terms(answer)
    except exact_numbers.NotPlain:
        return None
    if len(expected) != len(given):
        return False
    if not all(expected) or not all(given):
        return expected == given
    return all(
        exact_numbers.multiplied(a, given[0]) == exact_numbers.multiplied(b, expected[0])
        for a, b in zip(expected, given, strict=True)
    )


def _time(latex: str) -> re.Match[str] | None:
    """A time with minutes or with am or pm."""
    time = _TIME.fullmatch(latex)
    return time if time and (time[2] or time[4]) else None


def _terms(latex: str) -> list[exact_numbers.Value]:
    """The terms of a ratio; those of a fraction are its value and 1. Raises `NotPlain`."""
    terms = [exact_numbers.read(term.strip())[0] for term in latex.split(":")]
    return terms if len(terms) > 1 else [*terms, {(1, 0): Fraction(1)}]


def _same_time(reference: re.Match[str], answer: re.Match[str]) -> bool:
    halves = {half.lower() for half in (reference[4], answer[4]) if half}
    return len(halves) < 2 and all(int(reference[i] or 0) == int(answer[i] or 0) for i in (1, 2, 3))
