r"""The values of a solution from which its answer follows by arithmetic that the problem names.

"m/n in lowest terms; find m+n"            5/12 gives the answer 17 away
"a\sqrt{b}/c; find a+b+c"                  \frac{3\sqrt{2}}{5} gives 10 away
"the remainder when N is divided by 1000"  2013 gives 13 away
"so the sum is 5+12=17"                    5/12 again, although no statement names m+n
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from math import gcd, prod

from actors.problems.number_words import in_digits

MAX_LETTERS = 5
"""Of a named sum; the values of a formula are tried in every order."""
_COMMANDS = r"\\(?:cdot|times|,|!|;| )"
_TERM = rf"[0-9]{{0,4}}\s*(?:{_COMMANDS}\s*)?[a-zA-Z](?:\s*(?:{_COMMANDS}\s*)?[a-zA-Z])*"
_SUM = re.compile(rf"(?<![\w\\{{^_])(?:{_TERM})(?:\s*[+-]\s*(?:{_TERM}))*(?![\w^_({{])")
_MATH = re.compile(r"\$\$?([^$]+)\$|\\\[(.+?)\\\]|\\\((.+?)\\\)", re.DOTALL)
_PROSE_SUM = re.compile(r"(?<![\w\\])[a-zA-Z](?:\s*\+\s*[a-zA-Z])+(?!\w)")
_MODULUS = re.compile(
    r"(?:remainder|residue)\b.{0,200}?\bdivided\s+by\s+\$?([0-9][0-9,]*)|\blast\s+([0-9])\s+digits", re.S
)
_INTEGER = re.compile(r"(?<![0-9.])[0-9]+(?![0-9]|\.[0-9])")
_LARGE_INTEGER = re.compile(r"(?<![0-9.,])(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{3,18})(?![0-9]|[.,][0-9])")
_FRACTION = re.compile(
    r"\\[dt]?frac\s*\{?([0-9]+)\}?\s*\{?([0-9]+)\}?|(?<![0-9./])([0-9]+)\s*/\s*([0-9]+)(?![0-9/]|\.[0-9])"
)
_VALUE = re.compile(r"\\[dtc]?frac|\\sqrt|\\pi|/|[0-9]\s*[+-]\s*[0-9]|\\binom|\^")
_RATIO = re.compile(r"(?<![0-9.:])([0-9]+)\s*:\s*([0-9]+)(?![0-9:]|\.[0-9])")
_ASSIGNMENT = re.compile(r"(?<![\w\\])([a-zA-Z])\s*=\s*(-?[0-9]{1,9})(?![0-9\w^_(+*/\\-]|\.[0-9])")
_SIDE_END = re.compile(r"=|\\(?:approx|equiv|implies|Rightarrow|leq?|geq?|quad|text\s*\{[^{}]*\})|[<>;&]|\\\\|,\s")
_LETTERS = re.compile(r"[a-zA-Z]")
_COMMAND = re.compile(r"\\[a-zA-Z]+|[\\{}]")
MIN_MODULUS = 100
"""With a smaller one, too many numbers have the answer as their remainder by chance."""


def last_values(solution: str, answer: str, statement: str) -> list[str]:
    """The formulas and numbers of the solution that give the answer away. Empty unless the answer is an integer."""
    answer = in_digits(answer).strip("$ ").replace(",", "")
    if not re.fullmatch("-?[0-9]{1,18}", answer):
        return []
    target, text = int(answer), in_digits(solution)
    asked, operands = _asked(text, target, in_digits(statement))
    found = [*_named(asked, target, text, operands), *_with_remainder(target, text, in_digits(statement))]
    return list(dict.fromkeys([*found, *_assigned(asked, target, text)]))


def _assigned(asked: Sequence[str], target: int, solution: str) -> Iterator[str]:
    """`m=5` and `n=12`, if these last values of the letters give the answer in a named sum."""
    values = dict(_ASSIGNMENT.findall(solution))
    for terms in map(_terms, asked):
        letters = {letter for _, *names in terms for letter in names}
        if letters <= set(values) and _total(terms, {letter: int(values[letter]) for letter in letters}) == target:
            yield from (f"{letter}={values[letter]}" for letter in sorted(letters))


def _asked(solution: str, target: int, statement: str) -> tuple[list[str], list[list[int]]]:
    """(sums of letters that the problem asks for, operands of the sums of numbers that equal the answer)."""
    asked = [
        match[0]
        for span in _formulas(statement)
        for match in [_SUM.fullmatch(span.strip(" .,?"))]
        if match and len(_LETTERS.findall(_COMMAND.sub("", match[0]))) > 1
    ]
    asked += [match[0] for match in _PROSE_SUM.finditer(statement)]
    operands = []
    for equal in re.finditer(rf"=\s*(?:\\(?:boxed|fbox|mathbf|textbf)\s*\{{\s*)?{target}(?![0-9]|\.[0-9])", solution):
        chain = re.split(r"[$,;:]|\w{2,}\s(?<![0-9]\s)|\n", solution[max(0, equal.start() - 100) : equal.start()])[-1]
        for side in chain.split("="):
            if _SUM.fullmatch(side.strip()) and len(_LETTERS.findall(_COMMAND.sub("", side))) > 1:
                asked.append(side.strip())
            elif re.fullmatch(r"\s*[0-9]+(?:\s*[+-]\s*[0-9]+)+\s*", side):
                operands.append([int(number) for number in _INTEGER.findall(side)])
    return list(dict.fromkeys(asked)), operands


def _named(asked: Sequence[str], target: int, solution: str, operands: Sequence[list[int]]) -> Iterator[str]:
    """Formulas whose integers give the answer in a named sum, or are the operands of the last one."""
    sums = [
        terms for each in asked if (terms := _terms(each)) and len({*itertools.chain(*terms)} - {""}) <= MAX_LETTERS + 1
    ]
    if not sums and not operands:
        return
    for formula in _formulas(solution):
        for side in _SIDE_END.split(formula):
            if _VALUE.search(side) and not _LETTERS.search(_COMMAND.sub("", side)):
                values = _integers(side)
                if sorted(values) in map(sorted, operands) or any(_gives(terms, values, target) for terms in sums):
                    yield side.strip(" .$")


def _integers(side: str) -> list[int]:
    """The integers of a formula; those of a lone fraction in lowest terms."""
    if match := _FRACTION.fullmatch(side.strip(" .")):
        above, below = (int(number) for number in match.groups() if number)
        divisor = gcd(above, below) or 1
        return [above // divisor, below // divisor]
    return [int(number) for number in _INTEGER.findall(side)]


def _terms(asked: str) -> list[tuple[str, ...]]:
    """ "100m-nk" -> [("100", "m"), ("-1", "n", "k")]: coefficient and letters of each term."""
    bare = re.sub(rf"\s|{_COMMANDS}", "", asked)
    found = []
    for sign, coefficient, letters in re.findall(r"([+-]?)([0-9]*)([a-zA-Z]+)", bare):
        found.append((f"{'-' if sign == '-' else ''}{coefficient or 1}", *letters))
    return found


def _gives(terms: Sequence[tuple[str, ...]], values: Sequence[int], target: int) -> bool:
    """Whether the terms have the target value for the values in some order; one letter may be an unwritten 1."""
    letters = sorted({letter for _, *names in terms for letter in names})
    missing = len(letters) - len(values)
    if not (missing == 0 or (missing == 1 and len(letters) > 2)):
        return False
    for order in set(itertools.permutations([*values, *[1] * missing])):
        if _total(terms, dict(zip(letters, order, strict=True))) == target:
            return True
    return False


def _total(terms: Sequence[tuple[str, ...]], values: Mapping[str, int]) -> int:
    return sum(int(coefficient) * prod(values[name] for name in names) for coefficient, *names in terms)


def _with_remainder(target: int, solution: str, statement: str) -> Iterator[str]:
    """Numbers whose remainder is the answer, if the problem asks for one."""
    match = _MODULUS.search(statement)
    if not match:
        return
    modulus = int(match[1].replace(",", "")) if match[1] else 10 ** int(match[2])
    for number in _LARGE_INTEGER.findall(solution):
        value = int(number.replace(",", ""))
        if modulus >= MIN_MODULUS and value >= modulus and value % modulus == target:
            yield str(value)


def _formulas(text: str) -> Iterator[str]:
    """The formulas of a text, and its plain fractions."""
    for match in _MATH.finditer(text):
        yield next(filter(None, match.groups()), "")
    for match in _FRACTION.finditer(_MATH.sub(" ", text)):
        yield match[0]
    for match in _RATIO.finditer(text):
        yield rf"\frac{{{match[1]}}}{{{match[2]}}}"
