r"""Guidance cut from 975 + 30 AIME and 846 OlympiadBench solutions, checked by independent code.

A prefix *contains the answer in verifiable form* when

1. a box in it holds the answer, or `answer is`, `answer:`, `answer of` or `answer =` is followed by it;
2. it ends with the answer after `=` or `is`: "so n = 2.";
3. the answer has two or more characters and occurs in it as a number, a formula or a side of a relation in a formula,
   in any equal form, and does not occur in the statement. (A single digit occurs in every solution.)

Answers are equal as texts without spaces, as fractions, or by math-verify where both sides have the same letters and
digits.
"""

from collections import Counter
from fractions import Fraction
from functools import cache

import pytest

from actors.problems.guidance import candidate_prefixes, random_short_prefix
from actors.verification.verifier_process import judge
from tests.actors.latex_scanner import numbers, spans
from tests.actors.shared_data import MISSING, REASON, solved_problems

pytestmark = pytest.mark.skipif(MISSING, reason=REASON)


class Longest:
    """A random generator that always chooses the last option, the longest prefix."""

    def choice(self, options):
        return options[-1]


@pytest.fixture(scope="module")
def guided():
    """(statement, answer, solution, prefixes with the longest fall-back) of every human solution."""
    rows = []
    for problem in solved_problems():
        for solution in problem.solutions:
            prefixes = candidate_prefixes(solution, 8, problem.answer, problem.statement)
            fallback = random_short_prefix(solution, problem.answer, Longest(), problem.statement)
            rows.append((problem, solution, prefixes, fallback))
    return rows


def all_prefixes(rows):
    for problem, solution, prefixes, fallback in rows:
        for prefix in {*prefixes, *([fallback] if fallback else [])}:
            yield problem, solution, prefix


def test_no_cut_is_inside_latex_or_code(guided):
    inside = []
    for _, solution, prefixes, fallback in guided:
        closed = spans(solution)
        for prefix in {*prefixes, *([fallback] if fallback else [])}:
            assert solution.startswith(prefix)
            inside += [(prefix[-60:], span) for span in closed if span.start < len(prefix) < span.stop]
    assert inside == []


def test_no_cut_is_inside_a_number_or_a_sentence(guided):
    broken = []
    for _, solution, prefix in all_prefixes(guided):
        rest = solution[len(prefix) :]
        if (prefix[-1].isdigit() and rest[0].isdigit()) or not rest[0].isspace() or rest.lstrip()[0].islower():
            broken.append((prefix[-60:], rest[:30]))
    assert broken == []


def test_every_fallback_is_shorter_than_a_quarter(guided):
    assert [fallback for _, solution, _, fallback in guided if 4 * len(fallback) >= len(solution)] == []


def test_no_prefix_contains_the_answer_in_verifiable_form(guided):
    leaks = []
    for problem, _, prefix in all_prefixes(guided):
        if why := leak(prefix, problem.answer, problem.statement):
            leaks.append((problem.source, problem.answer, why, prefix[-80:]))
    assert leaks == []


def test_no_prefix_contains_the_answer_in_other_words(guided):
    leaks = []
    for problem, _, prefix in all_prefixes(guided):
        if why := spelled(prefix, problem.answer, problem.statement) or derived(
            prefix, problem.answer, problem.statement
        ):
            leaks.append((problem.source, problem.answer, why, prefix[-80:]))
    assert leaks == []


def test_most_solutions_have_candidates(guided):
    share = Counter()
    for problem, _, prefixes, fallback in guided:
        share[problem.source] += 1
        share[problem.source, "one"] += bool(prefixes)
        share[problem.source, "fallback"] += bool(fallback)
        share["candidates"] += len(prefixes)
    for source, one, fallback in (("aime", 0.96, 0.75), ("aime24", 0.96, 0.75), ("olympiadbench", 0.88, 0.65)):
        assert share[source, "one"] > one * share[source]
        assert share[source, "fallback"] > fallback * share[source]
    assert share["candidates"] > 3.6 * len(guided)


def spelled(prefix, answer, statement):
    """How the prefix spells the answer: in words, as a percentage, as another fraction, or a part of it as a result."""
    value, lower, known = fraction(bare(answer).replace("\\%", "")), prefix.lower(), statement.lower()
    if value is not None and len(answer.strip("$ ")) > 1:
        for words in {*in_words(value), f"{float(100 * value):g}\\%", f"{float(100 * value):g} percent"}:
            if holds(lower, words) and not holds(known, words):
                return f"spelled {words!r}"
    for part in parts_of(answer):
        for sentence in prefix.replace("\n", ". ").replace("; ", ". ").split(". "):
            if states(sentence, part):
                return f"states {part!r}: {sentence[-60:]!r}"
    return None


def derived(prefix, answer, statement):
    """A fraction p/q in the prefix, if the problem asks for p+q and that is the answer."""
    asked = statement.replace(" ", "").replace("$", "").replace("_{}", "").rstrip(".").lower()
    if not asked.endswith(("findm+n", "findp+q", "finda+b", "whatism+n?")) or not answer.isdecimal():
        return None
    for piece in pieces(prefix):
        value = fraction(bare(piece))
        if value is not None and value.denominator > 1 and value.numerator + value.denominator == int(answer):
            return f"gives {answer} by {piece!r}"
    return None


ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
SHARES = {"1/2": ["one half", "a half", "one-half"], "1/4": ["one fourth", "a quarter", "one quarter", "one-fourth"]}
SHARES |= {"1/3": ["one third", "one-third", "a third"], "2/3": ["two thirds", "two-thirds"], "3/4": ["three fourths"]}


def in_words(value):
    if value.denominator > 1:
        return SHARES.get(str(value), [])
    number = int(value)
    if not 0 <= number < 1000:
        return []
    hundreds, rest = divmod(number, 100)
    tens, ones = TENS[rest // 10 - 2], ONES[rest % 10]
    small = [ONES[rest]] if rest < 20 else [f"{tens}{gap}{ones}" if rest % 10 else tens for gap in "- "]
    if not hundreds:
        return small
    if not rest:
        return [f"{ONES[hundreds]} hundred"]
    return [f"{ONES[hundreds]} hundred{joint}{each}" for joint in (" ", " and ") for each in small]


def holds(text, words):
    """Whether the text holds the words, not as a part of longer ones."""
    start = text.find(words)
    while start >= 0:
        before, after = (
            text[start - 1 : start] if start else " ",
            text[start + len(words) : start + len(words) + 1] or " ",
        )
        if not (before.isalnum() or before in "-." or after.isalnum() or after == "-"):
            return True
        start = text.find(words, start + 1)
    return False


def parts_of(answer):
    """The numbers of a list, tuple or set, or the answer itself if it is a number."""
    text = answer.replace("$", "").replace("\\left", "").replace("\\right", "").replace(" ", "")
    members = [each.strip("()[]{}\\").split("=")[-1] for each in text.split(",")]
    return [each for each in members if fraction(bare(each)) is not None and bare(each) not in ("0", "1", "")]


def states(sentence, part):
    """Whether the sentence is a conclusion that ends with the part, or counts it."""
    words = (
        sentence.replace("$", " ")
        .replace("\\mathbf{", " ")
        .replace("}", " ")
        .replace(",", " ")
        .replace(".", " ")
        .split()
    )
    if f"must be {part} " in f"{' '.join(words)} " or f" are {part} such " in " ".join(words):
        return True
    concludes = {"so", "thus", "hence", "therefore", "gives", "get", "obtain"} & {word.lower() for word in words}
    return bool(concludes) and ends_on(sentence, part)


def leak(prefix, answer, statement):
    """Which rule the prefix breaks, or None."""
    found = spans(prefix)
    if any(span.kind == "box" and equal(answer, span.content) for span in found):
        return "boxed"
    lower = prefix.lower()
    for words in ("answer is", "answer:", "answer of", "answer =", "answer is:"):
        if words in lower:
            following = prefix[lower.rindex(words) + len(words) :].strip()[: len(answer) + 20]
            if any(equal(answer, each) for each in [*pieces(following), following.split("\n")[0]]):
                return words
    if ends_on(prefix, answer):
        return "claimed at the end"
    if len(answer.strip("$ ")) > 1:
        equal_pieces = [each for each in pieces(prefix) if equal(answer, each)]
        in_statement = bare(answer) in bare(statement) or any(equal(answer, each) for each in pieces(statement))
        if equal_pieces and not in_statement:
            return f"occurs in it: {equal_pieces[0]!r}"
    return None


def pieces(text):
    """Numbers and formulas of a text, and the sides of the relations in its formulas."""
    found = [*numbers(text)]
    for span in spans(text):
        if span.kind != "code":
            found.append(span.content)
            found += sides(span.content)
    return found


def sides(formula):
    for sign in (
        "\\leq",
        "\\geq",
        "\\le",
        "\\ge",
        "<",
        ">",
        "\\implies",
        "\\Rightarrow",
        "\\Longrightarrow",
        "\\\\",
        "&",
    ):
        formula = formula.replace(sign, "=")
    return formula.split("=")


def ends_on(prefix, answer):
    tail = prefix.rstrip(" .!\n")
    for closing in ("\\]", "\\)", "$$", "$"):
        if tail.endswith(closing):
            math = [span for span in spans(tail) if span.stop == len(tail)]
            content = math[-1].content.rstrip(" .") if math else ""
            if "=" in content:
                return equal(answer, content.split("=")[-1])
            before = tail[: math[-1].start].rstrip() if math else ""
            return before.endswith((" is", " are", "=")) and equal(answer, content)
    words = tail.split()
    return len(words) > 1 and words[-2] in ("is", "=", "are") and equal(answer, words[-1])


def bare(latex):
    for gone in (" ", "\n", "$", "\\,", "\\!", "\\left", "\\right", "\\displaystyle"):
        latex = latex.replace(gone, "")
    return latex.replace("dfrac", "frac").replace("tfrac", "frac").strip(".,;")


def equal(answer, piece):
    return len(piece) < 300 and equal_bare(bare(answer), bare(piece))


@cache
def equal_bare(answer, piece):
    if not piece or answer == piece:
        return bool(piece)
    given, expected = fraction(piece), fraction(answer)
    if given is not None and expected is not None:
        return given == expected
    if sorted(filter(str.isalnum, answer)) != sorted(filter(str.isalnum, piece)):
        return False
    return judge(answer, piece) == "correct"


def fraction(latex):
    """A plain number or fraction, read without a regular expression."""
    for over in ("}{", "/"):
        above, found, below = latex.removeprefix("\\frac{").partition(over)
        if found:
            break
    else:
        above, below = latex, "1"
    try:
        return Fraction(above.replace(",", "")) / Fraction(below.removesuffix("}").replace(",", ""))
    except (ValueError, ZeroDivisionError):
        return None
