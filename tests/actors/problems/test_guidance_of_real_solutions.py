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


def test_no_prefix_contains_the_answer_in_verifiable_form(guided):
    leaks = []
    for problem, _, prefix in all_prefixes(guided):
        if why := leak(prefix, problem.answer, problem.statement):
            leaks.append((problem.source, problem.answer, why, prefix[-80:]))
    assert leaks == []


def test_most_solutions_have_candidates(guided):
    share = Counter()
    for problem, _, prefixes, fallback in guided:
        share[problem.source] += 1
        share[problem.source, "one"] += bool(prefixes)
        share[problem.source, "fallback"] += bool(fallback)
    for source, one, fallback in (("aime", 0.9, 0.96), ("aime24", 0.9, 0.96), ("olympiadbench", 0.8, 0.88)):
        assert share[source, "one"] > one * share[source]
        assert share[source, "fallback"] > fallback * share[source]


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
