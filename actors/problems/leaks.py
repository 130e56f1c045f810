r"""Detects whether a piece of a solution shows the final answer in a form that a verifier would accept.

A piece shows the answer when it
- has a box, or announces an answer ("the answer is", "final answer", "answer:", "####");
- contains an answer of two or more characters as a separate token, in any spelling of equal value (033 and 33, 1,000
  and 1000, \frac12 and 0.5 and 50% and "one half", 12 and "twelve"), unless the statement contains it too;
- contains a value from which the answer follows by the sum or the remainder that the problem asks for
  (`last_values.py`), unless the statement contains it too;
- states the answer or a part of it, of any length (`answer_parts.py`), as a result: at its end after "=" or "is", or
  anywhere as "so there are 7", "n must be 7", "7 of them", "12 such".

Elsewhere a single digit is an ordinary number, and so is any number that the statement contains.
"""
# ruff: noqa: RUF001 - the characters of other scripts are meant

import re
from fractions import Fraction
from functools import lru_cache

from actors.problems.answer_parts import part_forms, whole_forms
from actors.problems.last_values import last_values
from actors.problems.number_words import in_digits
from actors.verification import exact_numbers
from actors.verification.answer_spelling import SUBSCRIPT, cleaned

_ANNOUNCED = re.compile(
    r"\\(?:boxed|fbox)\b|####|\bfinal\s+answer|\banswers?\s*(?:[:=]|is\b|are\b|of\b|must\b|should\b|would\b|will\b|comes\b|to\b)"
    r"|答案|答え|정답|\bответ\b|\bréponse\s*(?::|est\b)|\brespuesta\b|\bantwort\b|\brisposta\b|उत्तर|الجواب",
    re.IGNORECASE,
)
_MATH = re.compile(r"\$\$?([^$]+)\$|\\\[(.+?)\\\]|\\\((.+?)\\\)|\\begin\{[a-z]+\*?\}(.+?)\\end", re.DOTALL)
_NUMBER = re.compile(
    r"(?<![0-9a-zA-Z.^_{\\])-?(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?(?:/[0-9]+)?"
    r"(?![0-9^_]|(?!(?:st|nd|rd|th|[cmk]?m|k?g|s|h|min)\b)[a-zA-Z])"
)
_RATIO = re.compile(r"(?<![0-9.:/])([0-9]+)\s*(?::|\s(?:out\s+of|in(?:\s+every)?)\s)\s*([0-9]+)(?![0-9:/]|\.[0-9])")
_PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*\$?\s*(?:\\?%|per\s*cent\b)")
_FRACTION = re.compile(
    r"\\[dtc]?frac\s*\{[0-9]+\}\s*\{[0-9]+\}|(?:[0-9]+\s*)?\\(?:pi(?![a-zA-Z])|sqrt\s*\{[0-9]+\})(?:\s*/\s*[0-9]+)?"
)
_POWER = re.compile(
    r"(?:(?<![0-9.])([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(?:\\times|\\cdot)\s*)?"
    r"(?<![0-9.])([1-9][0-9]{0,3})\s*\^\s*(?:\{\s*(-?[0-9]{1,2})\s*\}|([0-9])(?![0-9]))"
)
_SCIENTIFIC = re.compile(r"(?<![\w.])([0-9]{1,9}(?:\.[0-9]{1,9})?)[eE]([+-]?[0-9]{1,2})(?!\w)")
_BLANK_THOUSANDS = re.compile(r"(?<![0-9.])[0-9]{1,3}(?: [0-9]{3})+(?![0-9])")
_MIXED = re.compile(r"(?<![0-9.])([0-9]+)(?:\s+and)?\s*\$?\s*(\\[dtc]?frac\s*\{[0-9]+\}\s*\{[0-9]+\})")
_SIZES = re.compile(r"\\(?:left|right)(?![a-zA-Z])\s*")
_PIECES = re.compile(
    r"&|\\\\|\\(?:approx|equiv|implies|iff|[rR]ightarrow|Longrightarrow|to|leq?|geq?|lt|gt|quad|qquad)(?![a-zA-Z])|[=<>,;]"
    r"|\\text\s*\{[^{}]*\}"
)
_PROSE_SIDE = re.compile(r"=\s*([^\s=.,;:!?$][^=,;:!?$\n]{0,60}?)(?=\s*(?:[=,;:!?\n$]|\.\s|\.?$|\s[a-zA-Z]{2,}))")
_CLAIM = re.compile(
    r"=|\b(?:is|are|equals?|be|get|gives?|yields?|obtain|totals?|have|of|most|least)\b(?:\s+(?:exactly|only|just))?"
    r"|[为是得有到]|\b(?:равн[оаы]|равен|получ\w+|это|их|est|vaut|ist|ergibt|es|son)\b|[—:]|\b(?:option|choice)\b"
)
_TAIL = re.compile(r"(?:[\s$.!,;*。！？．।۔个種种]|\\\]|\\\)|\\end\{[a-z]+\*?\}|\\\\)+$")
_BRACKETS = re.compile(r"[\s)\]$.]+$")

_OPENING = re.compile(r"(?:[\s$({\[&*]|\\[(\[])*$")
_CLOSING = re.compile(r"(?:[\s$)}\]*]|\\[)\]])*")
_STATES = re.compile(
    r"(?:=|\b(?:is|are|was|were|equals?|be|get|gives?|giving|yields?|obtain|have|has|find|of|exists?|remains?|for|at\s+most"
    r"|at\s+least|than)(?:\s+(?:exactly|only|just|precisely|simply|therefore|thus))?|\bonly|\bexactly)$"
)
_FORCES = re.compile(
    r"\b(?:must|can\s+only|has\s+to|have\s+to|can't\s+but|cannot\s+but|needs\s+to|should|will|would)\s+(?:also\s+)?(?:be|equal|have|get)"
    r"(?:\s+(?:exactly|only|just))?$"
    r"|\b(?:total|sum|maximum|minimum|max|min|count)\s+(?:number\s+|value\s+)?(?:of|is|are|=)$"
)
_CONCLUDES = re.compile(
    r"\b(?:so|thus|hence|therefore|consequently|accordingly|altogether|in\s+total|conclude|follows|finally|only|implies"
    r"|which\s+means|this\s+means|shows\s+that|proves\s+that)\b|\\(?:implies|Rightarrow|Longrightarrow|therefore)(?![a-zA-Z])",
    re.IGNORECASE,
)
_OPENS = re.compile(r"\s*(?:So|Thus|Hence|Therefore|Consequently|Finally|Altogether|In\s+total)\b")
_SENTENCE = re.compile(r"[.!?](?=\s)|\n\s*\n")
_SUPPOSES = re.compile(
    r"\b(?:if|when|let|suppose|assume|assuming|say|unless|whenever|setting|substituting|mod|modulo|divisible|than|first|about)\b",
    re.IGNORECASE,
)
_SUPPOSED_VALUE = re.compile(
    r"\b(?:if|when|for|let|suppose|assume|assuming|say|tak(?:e|ing)|consider|case(?:\s+\w+)?[:.]?|setting|substituting|try)"
    r"\s+(?:that\s+)?[$(\s]*[^=\s.,;$]{1,20}\s*=$",
    re.IGNORECASE,
)
_COUNTED = re.compile(
    r"(?:of\s+(?:them|these|those)|such|in\s+(?:total|all)|altogether|total|solutions?|possibilities|possible)\b"
    r"|(?:is|are)\s+(?:the|our)\s+(?:answer|only|desired|required|largest|smallest|greatest|least|maximum|minimum|total)\b"
    r"|(?:remains?|is\s+left|are\s+left|suffices?)\b",
    re.IGNORECASE,
)
_CLAUSE_END = re.compile(
    r"[.,;:!?。！？]|$|\b(?:and|or|but|so|because|since|as|which|when|where|for)\b|\\[\])]|\\\\|\\q?quad"
)
_CHAIN_START = re.compile(r"[<>$&,;]|\\\\|\s\w{2,}\s|\\(?:implies|(?:R|r|Longr)ightarrow)(?![a-zA-Z])")
_COMMON_WORDS = ("yes", "no", "true", "false", "even", "odd", "all", "none", "both", "always", "never")
"""Answers that occur in every solution: they are shown only if stated as the result."""
_TRIVIAL = ("0", "1", "-1")
"""Right sides of many equations: as parts they are results only of a name, x=0 and not x^2-x=0."""
_CLAUSE = re.compile(r"[.;!?](?=\s)|,(?=\s)|\n\s*\n")


def shows_answer(piece: str, answer: str, statement: str = "") -> bool:
    """Whether the piece shows the answer, by the rules above."""
    return AnswerDetector(answer, statement, piece).shows_in(piece)


class AnswerDetector:
    """Finds one answer in pieces of its solution."""

    def __init__(self, answer: str, statement: str, solution: str) -> None:
        statement = in_digits(statement)
        self._whole = whole_forms(answer)
        self._parts = [form for form in part_forms(answer) if form not in self._whole]
        values = [in_digits(value) for value in last_values(solution, answer, statement)]
        self._hidden = [
            form
            for form in [*self._whole, *values]
            if len(form) > 1 and form.lower() not in _COMMON_WORDS and not _occurs_in(statement, form, exactly=True)
        ]
        """Forms that must not occur at all."""
        self._results = [*self._whole, *values]
        """Forms that must not be stated as a result."""

    def shows_in(self, piece: str) -> bool:
        """Whether the piece shows the answer."""
        if _ANNOUNCED.search(piece):
            return True
        text = in_digits(piece)
        return (
            any(_occurs_in(text, form) for form in self._hidden)
            or any(_claims_at_end(text, form) or _states(text, form) for form in self._results)
            or any(_claims_at_end(text, form, part=True) or _states(text, form, part=True) for form in self._parts)
        )


def _claims_at_end(text: str, form: str, part: bool = False) -> bool:
    """Whether the text ends with `= form` or `is form`."""
    text = _TAIL.sub("", text)[-len(form) - 160 :]
    ends = {text, _BRACKETS.sub("", text)}  # the second form is for "(so n = 5)" and tuples
    return any(
        _equal(form, end[claim.end() :].lstrip("&{ ")) and not (part and _is_no_result(end[: claim.end()], form))
        for end in ends
        for claim in _CLAIM.finditer(end, max(0, len(end) - len(form) - 60))
    )


def _states(text: str, form: str, part: bool = False) -> bool:
    """Whether the form is stated as a result anywhere in the text."""
    for start, stop, value in _values(text):
        if not _equal(form, value):
            continue
        before = _OPENING.sub("", text[max(0, start - 160) : start])
        after = text[_CLOSING.match(text, stop).end() :][:60]  # type: ignore[union-attr]
        if _FORCES.search(before) or (not part and _COUNTED.match(after)):
            return True
        clause = _CLAUSE.split(before)[-1]
        if not _STATES.search(before) or _SUPPOSES.search(clause) or _is_no_result(before, form if part else ""):
            continue
        if _CONCLUDES.search(clause) or _OPENS.match(_SENTENCE.split(before)[-1]):
            return True
        if (len(form) > 1 or part) and _CLAUSE_END.match(after):
            return True
    return False


def _is_no_result(before: str, form: str) -> bool:
    """Whether the text before a value supposes it ("if x="), or is the left side of an equation of a trivial form."""
    if _SUPPOSED_VALUE.search(before):
        return True
    if form not in _TRIVIAL or not before.endswith("="):
        return False
    name = _CHAIN_START.split(before)[-1].split("=")[0]
    return bool(re.search(r"[0-9+*/^]|-|\\(?:frac|cdot|sqrt|times)", SUBSCRIPT.sub("", name)))


@lru_cache(maxsize=8)
def _values(text: str) -> tuple[tuple[int, int, str], ...]:
    """(start, stop, text) of each side of each relation, in formulas and in prose, and of each number in prose."""
    found, position = [], 0
    for match in _MATH.finditer(text):
        found += _numbers(text, position, match.start())
        group = match.lastindex or 0
        start = match.start(group)
        for sign in _PIECES.finditer(text, start, match.end(group)):
            found.append((start, sign.start(), text[start : sign.start()]))
            start = sign.end()
        found.append((start, match.end(group), text[start : match.end(group)]))
        position = match.end()
    return (*found, *_numbers(text, position, len(text)))


def _numbers(text: str, start: int, stop: int) -> list[tuple[int, int, str]]:
    found = [(match.start(), match.end(), match[0]) for match in _NUMBER.finditer(text, start, stop)]
    return found + [(*match.span(1), match[1]) for match in _PROSE_SIDE.finditer(text, start, stop)]


@lru_cache(maxsize=8)
def _numeric_values(text: str) -> tuple[str, ...]:
    """Every side and number of the text; ratios, percentages and mixed numbers as fractions and sums."""
    values = [value for _, _, value in _values(text)] + _NUMBER.findall(text) + _FRACTION.findall(text)
    values += [rf"\frac{{{above}}}{{{below}}}" for above, below in _RATIO.findall(text) if int(below)]
    values += [rf"\frac{{{number}}}{{100}}" for number in _PERCENT.findall(text)]
    values += [f"{whole}+{fraction}" for whole, fraction in _MIXED.findall(text)]
    values += [number.replace(" ", "") for number in _BLANK_THOUSANDS.findall(text)]
    return tuple(value for value in dict.fromkeys(values) if any(map(str.isdigit, value)))


def _occurs_in(text: str, form: str, exactly: bool = False) -> bool:
    """Whether the form, or a number equal to it, occurs in the text as a separate token.

    Unless `exactly`, also as a power such as 6^2, or as the same symbols in another order.
    """
    if not text:
        return False
    if _pattern(form).search(_without_sizes(text)):
        return True
    if not _is_number(form):
        return not exactly and any(_same_symbols(form, value) for _, _, value in _values(text))
    values = _numeric_values(text) if exactly else (*_numeric_values(text), *_powers(text))
    return any(_equal(form, value) for value in values)


@lru_cache(maxsize=8)
def _powers(text: str) -> tuple[str, ...]:
    """Every power of two numbers and every number in scientific notation."""
    found = [_power(factor, base, braced or digit) for factor, base, braced, digit in _POWER.findall(text)]
    found += [_power(factor, "10", exponent) for factor, exponent in _SCIENTIFIC.findall(text)]
    return tuple(dict.fromkeys(found))


def _power(factor: str, base: str, exponent: str) -> str:
    """1.2\\times 10^3 -> \\frac{1200}{1}."""
    value = Fraction(factor or 1) * Fraction(base) ** int(exponent)
    return rf"\frac{{{value.numerator}}}{{{value.denominator}}}"


@lru_cache(maxsize=8)
def _without_sizes(text: str) -> str:
    return _SIZES.sub(" ", text)


def _same_symbols(form: str, value: str) -> bool:
    """Whether two formulas with letters have the same letters, numbers and commands, in any order: 2x+1 and 1+2x."""
    return len(value) < 2 * len(form) + 20 and _symbols(form) == _symbols(value)


@lru_cache(maxsize=4096)
def _symbols(formula: str) -> tuple[str, ...]:
    return tuple(sorted(re.findall(r"\\[a-zA-Z]+|[a-zA-Z]|[0-9]+", cleaned(formula))))


@lru_cache(maxsize=16384)
def _equal(form: str, piece: str) -> bool:
    """Whether a piece of text is the form, or a number of equal value."""
    piece = _cleaned(piece)
    if piece.replace(" ", "") == form.replace(" ", "") or (len(form) > 1 and piece.lower() == form.lower()):
        return True
    if not any(map(str.isdigit, piece)):
        return False
    if form.endswith("%"):
        number = form.rstrip("\\% ")
        return _equal(number, piece.rstrip("\\% ")) or _equal(rf"\frac{{{number}}}{{100}}", piece)
    return exact_numbers.compare(form, piece.replace(",", "") if form.isdecimal() else piece) is True


@lru_cache(maxsize=4096)
def _cleaned(piece: str) -> str:
    return cleaned(piece)


@lru_cache(maxsize=1024)
def _is_number(form: str) -> bool:
    form = form.rstrip("\\% ")
    return exact_numbers.compare(form, form) is True


@lru_cache(maxsize=1024)
def _pattern(form: str) -> re.Pattern[str]:
    """Matches the form as a separate token, with any spacing, leading zeros, and any size of fraction or bracket."""
    tokens = re.findall(r"\\[a-zA-Z]+|\\.|[0-9]+|\S", form)
    loose = {"\\frac": r"\\[dtc]?frac", "\\{": r"\\?\{", "\\}": r"\\?\}"}
    spelled = [loose.get(token) or re.escape(token) for token in tokens]
    gap = r"(?:\s|\\[,;:! ]|~)*"
    zeros = "0*" if form[:1].isdigit() else ""
    before = r"(?<![\w.^_\\])(?<![\^_]\{)" if form[:1] not in ("(", "[", "\\") else r"(?<![\^_\\])"
    return re.compile(rf"{before}{zeros}{gap.join(spelled)}(?![\w^_]|\.\d)")
