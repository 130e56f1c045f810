"""Candidate prefixes: where they are cut, and that they never show the answer."""
# ruff: noqa: RUF001 - the characters of other scripts are meant

import json
import random

import pytest

from actors.problems.catalog import load_problems
from actors.problems.cut_points import boundaries
from actors.problems.guidance import candidate_prefixes, random_short_prefix
from broker.errors import UsageError
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
    assert candidate_prefixes(text, 8, "14") == ["We count."]
    assert random_short_prefix(text, "14", random.Random(0)) == "We count."
    assert candidate_prefixes("There are 14 ways. So the sum is 14.", 8, "14") == []
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


def test_an_answer_in_the_statement_is_excluded_from_prefixes_only_as_a_claim():
    text = "The 14 points are odd. We see. So it is 14. Check it. It is \\boxed{14}."
    assert candidate_prefixes(text, 8, "14") == []
    assert candidate_prefixes(text, 8, "14", "Given 14 points.") == ["The 14 points are odd."]


def test_the_only_step_before_the_answer_is_a_candidate_but_never_the_whole_solution():
    assert candidate_prefixes("Add them all up. The answer is \\boxed{11}.", 8, "11") == ["Add them all up."]
    assert candidate_prefixes("Add them all up.", 8, "11") == []


def test_the_fall_back_is_shorter_than_a_quarter_or_empty():
    problem = HARD[0]
    lines = problem.solution.split("\n")
    seen = {random_short_prefix(problem.solution, problem.answer, random.Random(seed)) for seed in range(50)}
    assert seen == {"\n".join(lines[:n]) for n in (1, 2, 3)}  # 3 lines of 11 characters of 137
    assert all(len(prefix) < len(problem.solution) / 4 for prefix in seen)
    long_line = "A very long first sentence that is more than a quarter of all. So \\boxed{11}."
    assert random_short_prefix(long_line, "11", random.Random(0)) == ""
    assert random_short_prefix("The answer is \\boxed{11}.", "11", random.Random(0)) == ""


@pytest.mark.parametrize(
    "sentences",
    [
        ["Сначала сложим числа.", " Затем умножим их.", " Потом проверим."],
        ["Πρώτα προσθέτουμε.", " Ύστερα πολλαπλασιάζουμε!", " Τέλος ελέγχουμε."],
        ["首先化简方程。", "接着代入数值（见上式）！", "然后检查边界条件。"],
        ["まず式を整理する。", "次に「代入する。」", "最後に確かめる。"],
        ["먼저 식을 정리한다.", " 다음으로 대입한다.", " 끝으로 확인한다."],
        ["पहले जोड़ते हैं।", " फिर गुणा करते हैं।", " अंत में जाँचते हैं।"],
        ["نجمع أولا.", " ثم نضرب؟", " ثم نتحقق."],
        ["پہلے جمع کریں۔", " پھر ضرب دیں۔", " آخر میں جانچیں۔"],
        ["Primero sumamos.", " ¿Y después?", " «Multiplicamos.»"],
        ["Zuerst addieren wir.", " Übrigens gilt z.B. das.", " Ähnlich der Rest."],
        ["Мы берём т. е. числа, см. Рис. А ниже.", " Затем, т.к. они равны, сложим.", " Всё."],
    ],
)
def test_sentences_end_in_every_script(sentences):
    text = "".join([*sentences, " \\boxed{144}"])
    ends = ["".join(sentences[:n]) for n in range(1, len(sentences) + 1)]
    assert [text[:cut].rstrip() for cut in boundaries(text)[:-1]] == ends


def test_a_guided_arm_is_refused_before_the_run_if_no_solution_has_a_prefix(tmp_path):
    rows = [{"problem": f"What is {n}+0?", "answer": f"{n}", "solution": f"It is {n}. Done."} for n in (11, 12)]
    source = tmp_path / "sums.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UsageError, match="none of the 2 hard problems has a prefix for its guidance"):
        load_problems(ProblemSettings(source=str(source)), 0)
    assert len(load_problems(ProblemSettings(source=str(source), arms={"unguided": 1}), 0)) == 2
