"""Candidate prefixes: where they are cut, and that they never show the answer."""

import random

import pytest

from actors.problems.catalog import load_problems
from actors.problems.guidance import candidate_prefixes, random_short_prefix
from actors.problems.leaks import shows_answer
from conf.schema import ProblemSettings

HARD = load_problems(ProblemSettings(num_hard=4, chain_steps=8), 0)


def test_candidates_of_a_chain_are_exactly_its_first_lines():
    solution, answer = HARD[0].solution, HARD[0].answer
    lines = solution.split("\n")
    assert candidate_prefixes(solution, 8, answer) == ["\n".join(lines[:i]) for i in range(1, 8)]
    assert candidate_prefixes(solution, 4, answer) == ["\n".join(lines[:i]) for i in (2, 4, 6)]
    assert candidate_prefixes(solution, 64, answer) == candidate_prefixes(solution, 8, answer)


def test_prose_is_cut_at_ends_of_sentences_and_lines():
    text = "Let x be odd. Then x^2 is odd, e.g. 9 for 3. So we add.\nNow it is easy. Hence it is \\boxed{77}."
    assert candidate_prefixes(text, 5, "77") == [
        "Let x be odd.",
        "Let x be odd. Then x^2 is odd, e.g. 9 for 3.",
        "Let x be odd. Then x^2 is odd, e.g. 9 for 3. So we add.",
    ]


@pytest.mark.parametrize(
    "latex",
    ["$$a\n+ b. C\n$$", "\\[a\n+ b. C\n\\]", "\\(a. B\\)", "$a. B\nc$", "\\begin{align*}a\n&= b. C\n\\end{align*}"],
)
def test_latex_is_never_cut(latex):
    text = f"First this. Second {latex} that. Third it. Fourth it. Fifth it is \\boxed{{99}}."
    for prefix in candidate_prefixes(text, 16, "99"):
        assert latex in prefix or not set(prefix) & set("$\\")


def test_an_unmatched_dollar_sign_does_not_reach_over_a_blank_line():
    text = "It costs $5. We pay.\n\nAnother one. And more. It is \\boxed{12}."
    assert candidate_prefixes(text, 8, "12")[-1].endswith("Another one.")


def test_no_prefix_shows_the_final_answer():
    text = "We count. There are 14 ways. Add them. Check it. So the sum is 14. The answer is \\boxed{14}."
    assert candidate_prefixes(text, 8, "14") == []
    assert random_short_prefix(text, "14", random.Random(0)) == "We count."
    assert candidate_prefixes("One. Two. The answer is 5. Three. Four.", 4, "5") == ["One."]
    assert candidate_prefixes("One. Two. We get 33. Three. Four.", 4, "033") == ["One."]


@pytest.mark.parametrize(
    "code",
    [
        "```\nA. B\n```",
        "[asy]A; B.\nC[/asy]",
        "\\begin{array}{c}\n\\begin{array}{c}A. B\\end{array}\nC. D\n\\end{array}",
    ],
)
def test_code_and_nested_environments_are_never_cut(code):
    text = f"First this. Second {code} that. Third it. Fourth it. Fifth it is \\boxed{{99}}."
    assert all(code in prefix or prefix == "First this." for prefix in candidate_prefixes(text, 16, "99"))


@pytest.mark.parametrize(
    "whole",
    [
        "We use e.g. $x$ here.",
        "See Fig. A now.",
        "1. Let x be odd.",
        "We sum 1, 2, ... $n$ up.",
        "Then\n\n$$x=3$$\n\nby symmetry.",
        "It follows that\n$x=3$.",
        "As $x>3,$\n where x is odd.",
        "| a | b |\n| c | d |",
        "It is 3.14 long.",
    ],
)
def test_a_step_is_never_cut_before_its_end(whole):
    text = f"First this.\n{whole}\nThird it. Fifth it is \\boxed{{99}}."
    assert candidate_prefixes(text, 16, "99") == ["First this.", f"First this.\n{whole}"]


@pytest.mark.parametrize(
    ("piece", "answer"),
    [
        ("So n = 2.", "2"),
        ("So $n=2$.", "x=2"),
        ("The sum is $2$.", "2"),
        ("(There is 2.)", "2"),
        ("Then \\[n = 5 - 3 = 2.\\]", "2"),
        ("There are 1,000 of 7 kinds.", "1000"),
        ("Here $\\dfrac{1}{2}$ of all are odd.", "\\frac{1}{2}"),
        ("Half, 0.5, of all are odd.", "\\frac{1}{2}"),
        ("With $\\left\\lfloor n\\right\\rfloor$ in hand.", "\\lfloor n \\rfloor"),
        ("So $(x,y)=(1,2)$.", "(1,2),(3,4)"),
        ("We box \\boxed{7} here.", "2"),
        ("The answer is at hand.", "2"),
    ],
)
def test_a_piece_shows_the_answer(piece, answer):
    assert shows_answer(piece, answer)


@pytest.mark.parametrize(
    ("piece", "answer", "statement"),
    [
        ("There are 2 ways to go on.", "2", ""),
        ("It is 114 or 141 or 1.14.", "14", ""),
        ("The 14 points lie on a line.", "14", "Given 14 points, how many lines?"),
        ("The power $x^{14}$ is odd.", "14", ""),
        ("So $n = 12$.", "2", ""),
    ],
)
def test_an_ordinary_number_does_not_show_the_answer(piece, answer, statement):
    assert not shows_answer(piece, answer, statement)


def test_an_answer_in_the_statement_is_excluded_from_prefixes_only_as_a_claim():
    text = "The 14 points are odd. We see. So it is 14. Check it. It is \\boxed{14}."
    assert candidate_prefixes(text, 8, "14") == []
    assert candidate_prefixes(text, 8, "14", "Given 14 points.") == ["The 14 points are odd."]


def test_the_fall_back_is_shorter_than_a_quarter_and_at_least_one_line():
    problem = HARD[0]
    lines = problem.solution.split("\n")
    seen = {random_short_prefix(problem.solution, problem.answer, random.Random(seed)) for seed in range(50)}
    assert seen == {"\n".join(lines[:n]) for n in (1, 2, 3)}  # 3 lines of 11 characters of 137
    assert all(len(prefix) < len(problem.solution) / 4 for prefix in seen)
    long_line = "A very long first sentence that is more than a quarter of all. So \\boxed{11}."
    assert random_short_prefix(long_line, "11", random.Random(0)).endswith("quarter of all.")
    assert random_short_prefix("The answer is \\boxed{11}.", "11", random.Random(0)) == ""
