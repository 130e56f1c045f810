"""The claims of a response, and the comparisons that need no computer algebra."""

import random
from functools import partial

import pytest

from actors.verification.answers import claimed_answers, compare_plainly
from actors.verification.thoughts import Thoughts
from tests.yardstick import loops


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("so \\boxed{42}.", ["42"]),
        ("\\boxed{1} no, \\boxed{2}", ["1", "2"]),
        ("\\boxed{2} and \\boxed{2}", ["2"]),
        ("\\boxed{\\frac{1}{2}} done", ["\\frac{1}{2}"]),
        ("\\boxed{\\{1, 2\\}}", ["\\{1, 2\\}"]),
        ("\\boxed{ 7 }", ["7"]),
        ("\\boxed {7}", ["7"]),
        ("<think>\\boxed{1}</think> It is \\boxed{2}.", ["2"]),
        ("<think>\\boxed{1}</think> I do not know.", []),
        ("\\boxed{1} <think>\\boxed{2}", []),
        ("no box, 42", []),
        ("cut off \\boxed{4", []),
        ("\\boxed{1} and then cut off \\boxed{4", []),
        ("\\boxed{}", []),
        ("\\boxed{  }", []),
        ("\\boxed{} \\boxed{3}", ["3"]),
        ("\\boxed{\\boxed{3}}", ["{3}"]),
        ("\\boxed{4, \\boxed{3}}", ["4, {3}"]),
        ("\\boxed{1\\}", []),
        ("} { \\boxed{1} }", ["1"]),
        ("", []),
    ],
)
def test_what_is_boxed_after_the_last_thought_is_claimed(text, claims):
    assert claimed_answers(text) == tuple(claims)


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("\\boxed{42} is wrong.", []),
        ("\\boxed{42}$ was clearly incorrect", []),
        ("\\boxed{42} is not the answer", []),
        ("it is not $\\boxed{42}$", []),
        ("it isn't \\boxed{42}", []),
        ("\\boxed{42} is not wrong", ["42"]),
        ("\\boxed{42}. That 41 is wrong is clear.", ["42"]),
        ("\\boxed{41} is wrong, so \\boxed{42}", ["41", "42"]),
        ("\\boxed{42}. Wait, let me check. Yes.", ["42"]),
        ("\\boxed{42} Final answer: 41", ["42", "41"]),
        ("\\boxed{42} **Final Answer**: $4\\frac12$", ["42", "4\\frac12"]),
        ("\\boxed{42} the correct answer is \\(41\\)", ["42", "41"]),
        ("\\boxed{42} The final answer is 42.", ["42"]),
        ("\\boxed{42} The final answer is as above.", ["42"]),
        ("Final answer: 41? No: \\boxed{42}", ["42"]),
        ("it cannot be \\boxed{42}", []),
        ("so $x \\ne \\boxed{42}$", []),
        ("$\\boxed{42} \\text{ or } 43$", ["42", "43"]),
    ],
)
def test_what_follows_the_last_box_may_take_it_back_or_claim_another(text, claims):
    assert claimed_answers(text) == tuple(claims)


@pytest.mark.parametrize(
    "text",
    [
        "-\\boxed{42}", "$x = -\\boxed{42}$", "$x = - \\boxed{42}$", "$\\pm\\boxed{42}$", "\\boxed{4}2",
        "0.\\boxed{42}", "\\boxed{42},000", "\\boxed{42}.5", "\\boxed{42}^2", "$\\boxed{42}/5$",
        "$\\boxed{42}\\frac12$", "$\\boxed{42} \\times 10^3$",
    ],
)  # fmt: skip
def test_a_box_that_holds_a_part_of_a_number_claims_nothing(text):
    assert claimed_answers(f"So {text}") == ()


@pytest.mark.parametrize(
    "text",
    [
        "- \\boxed{42}", "Result - \\boxed{42}", "->\\boxed{42}", "1. \\boxed{42}", "$x=\\boxed{42}$",
        "**\\boxed{42}**", "\\boxed{42}\\%", "\\boxed{42}^\\circ", "\\boxed{42}^{\\text{th}}",
        "\\boxed{42} \\text{ cm}^2", "\\boxed{42}, 500", "\\boxed{42}.\n1. So", "$\\boxed{42} \\pmod{100}$",
        "$$= -(-42) = \\boxed{42}$$", "{\\bf \\boxed{42}}", "20\\boxed{42}",
        "$\\frac{\\boxed{42}}{5}$", "$\\sqrt{\\boxed{42}}$",
    ],
)  # fmt: skip
def test_a_box_may_stand_among_dashes_and_units_or_hold_the_part_that_is_asked_for(text):
    assert claimed_answers(f"So {text}") == ("42",)


def test_boxes_of_different_letters_keep_their_names():
    assert claimed_answers("$y=\\boxed{1}$, $x=\\boxed{2}$") == ("y=1", "x=2")
    assert claimed_answers("$x=\\boxed{1}$ or $x=\\boxed{2}$") == ("1", "2")


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("So $\\boxed 7$.", ["7"]),
        ("\\boxed 42.", ["42"]),
        ("\\boxed -3", ["-3"]),
        ("\\boxed .5", [".5"]),
        ("$\\boxed x$", ["x"]),
        ("\\boxed\\frac12", ["\\frac12"]),
        ("\\boxed\\frac{1}{2}", ["\\frac{1}{2}"]),
        ("\\boxed\\sqrt2", ["\\sqrt2"]),
        ("\\boxed \\pi", ["\\pi"]),
        ("\\boxed\\text{no}", ["\\text{no}"]),
        ("\\fbox{42}", ["42"]),
        ("\\framebox{42}", ["42"]),
        ("\\framebox[2cm]{42}", ["42"]),
        ("\\bbox[yellow, 5px]{42}", ["42"]),
        ("\\boxed\n{42}", ["42"]),
        ("\\\\boxed{42}", ["42"]),
        ("\\\\boxed{\\\\frac{1}{2}}", ["\\frac{1}{2}"]),
        ("\\\\boxed{\\begin{matrix}1\\\\2\\end{matrix}}", ["\\begin{matrix}1\\\\2\\end{matrix}"]),
        ("\\boxed{\\fbox{42}}", ["{42}"]),
        ("I write \\boxed and then it is \\boxed{42}", ["42"]),
        ("\\boxed", []),
        ("\\boxed{1} \\boxed", []),
        ("\\boxed\\frac{1}{", []),
        ("\\boxedx{42}", []),
        ("\\boxed{\\phantom{2}} \\boxed{42}", ["42"]),
        ("\\boxed{?} \\boxed{42} \\boxed{\\checkmark}", ["42"]),
        ("in \\boxed{...}: \\boxed{42}", ["42"]),
        ("in \\boxed{your answer}: \\boxed{42}", ["42"]),
    ],
)
def test_a_box_has_many_spellings(text, claims):
    assert claimed_answers(text) == tuple(claims)


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("So \\boxed{10}.\n\nHence \\boxed{42}.", ["42"]),
        ("So \\boxed{10}.\r\n \t\r\nHence \\boxed{42}.", ["42"]),
        ("So \\boxed{10}.\nHence \\boxed{42}.", ["10", "42"]),
        ("\\boxed{10}\n\n\\boxed{41} and \\boxed{42}\n\nDone.", ["41", "42"]),
        ("\\boxed{10}\n\nHence \\boxed{}.", ["10"]),
        ("\\[\\boxed{41}\n\n\\boxed{42}\\]", ["41", "42"]),
        ("$$\\boxed{41}\n\n\\boxed{42}$$", ["41", "42"]),
        ("$$1$$ \\boxed{41}\n\n\\boxed{42} $$2$$", ["42"]),
        ("\\begin{align*}\\boxed{41}\n\n\\boxed{42}\\end{align*}", ["41", "42"]),
        ("\\begin{itemize}\\boxed{41}\n\n\\boxed{42}\\end{itemize}", ["42"]),
        ("\\boxed{41\n\n} \\boxed{42}", ["41", "42"]),
        ("\\[ never closed \\boxed{41}\n\n\\boxed{42}", ["42"]),
        ("\\boxed{41}\n\nor\n\n\\boxed{42}", ["41", "42"]),
        ("\\boxed{41}\n\nand\n\n\\boxed{42}", ["41", "42"]),
        ("\\boxed{41}\n\nOr it is \\boxed{42}", ["41", "42"]),
        ("\\boxed{41}.\n\nAlternatively, \\boxed{42}", ["41", "42"]),
    ],
)
def test_the_boxes_of_the_last_paragraph_are_claimed(text, claims):
    assert claimed_answers(text) == tuple(claims)


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("First \\boxed{10}, so the answer is \\boxed{42}", ["42"]),
        ("First \\boxed{10}, so the final answer is $\\boxed{42}$.", ["42"]),
        ("\\boxed{10}, \\boxed{11}. Final answer: \\boxed{42}", ["42"]),
        ("\\boxed{10}\nAnswer: \\boxed{42}", ["42"]),
        ("\\boxed{10}\n**Answer:** $x = \\boxed{42}$", ["42"]),
        ("\\boxed{10}, so our answer is thus $40 + 2 = \\boxed{42}$", ["42"]),
        ("\\boxed{10}. The answer to the problem is \\[\\boxed{42}\\]", ["42"]),
        ("First \\boxed{10}, then \\boxed{42}", ["10", "42"]),
        ("The answer is \\boxed{41}, and the answer is \\boxed{42}", ["41", "42"]),
        ("The answer is \\boxed{41} or the answer is \\boxed{42}", ["41", "42"]),
        ("\\boxed{41}, or maybe the answer is \\boxed{42}", ["41", "42"]),
        ("Either \\boxed{41} or the answer is \\boxed{42}", ["41", "42"]),
        ("The answer is \\boxed{41}, another is \\boxed{42}", ["41", "42"]),
        ("The answer is \\boxed{42}, which is 6 times \\boxed{7}", ["42", "7"]),
    ],
)
def test_a_box_that_is_announced_as_the_answer_counts_alone(text, claims):
    assert claimed_answers(text) == tuple(claims)


@pytest.mark.parametrize(
    "text",
    [
        "maybe \\boxed{42}? Let me check that again, because 6 times",
        "Is it $\\boxed{42}$?",
        "Could it be \\[\\boxed{42}\\] ?",
        "\\boxed{41}. Or is it \\boxed{42}?",
        "\\boxed{42}. That is wrong.",
        "\\boxed{42}. Hmm, that can't be right.",
        "$\\boxed{42}$. Wait, this is not correct.",
        "\\boxed{42}. No, it was incorrect",
        "\\boxed{42}. I made a mistake above.",
        "\\boxed{42}. No, wait",
        "\\boxed{42}. Hmm",
        "\\boxed{42}. No, 6 times 8 is 48",
        "It is never \\boxed{42}",
        "41 rather than \\boxed{42}",
        "The wrong answer is \\boxed{42}",
    ],
)
def test_a_box_that_is_asked_for_or_doubted_at_once_is_no_answer(text):
    assert claimed_answers(text) == ()


@pytest.mark.parametrize(
    "text",
    [
        "\\boxed{42}. Is that right? Yes.",
        "\\boxed{42}. No other value works.",
        "\\boxed{42}. It is not right-angled.",
        "\\boxed{42}. Wait, let me check: 6 times 7 is 42.",
        "\\boxed{42}. It is not 41.",
        "What is it? \\boxed{42}",
        "maybe \\boxed{41}? No, it is \\boxed{42}",
    ],
)
def test_other_words_after_a_box_take_nothing_back(text):
    assert claimed_answers(text) == ("42",)


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("\\boxed{42}. The answer is 41.", ["42", "41."]),
        ("\\boxed{42} or 41", ["42", "41"]),
        ("\\boxed{42}, or maybe $41$", ["42", "41"]),
        ("$\\boxed{42}$ (or 41)", ["42", "41"]),
        ("\\boxed{0.75}, or 75\\%", ["0.75", "75\\%"]),
        ("\\boxed{1.5} or 90 minutes", ["1.5"]),
        ("\\boxed{42}. So the answer is $6 \\cdot 7 = 42$", ["42"]),
        ("\\boxed{42}. The answer is 2^5 + 10", ["42"]),
        ("\\boxed{42}. The final answer is $42. He pays $5.", ["42"]),
    ],
)
def test_another_value_after_the_last_box_is_claimed_too(text, claims):
    assert tuple(claim.rstrip(".") for claim in claimed_answers(text)) == tuple(claim.rstrip(".") for claim in claims)


def test_thoughts_of_other_models_are_left_out():
    assert claimed_answers("<thinking>\\boxed{41}</thinking>\\boxed{42}") == ("42",)
    assert claimed_answers("[THINK]\\boxed{41}[/THINK]\\boxed{42}") == ("42",)
    assert claimed_answers("<thinking>\\boxed{42} no, wait") == ()
    assert claimed_answers("\\boxed{42}", Thoughts(opened=True)) == ()
    assert claimed_answers("so 6 times 7</think>\\boxed{42}", Thoughts(opened=True)) == ("42",)


def test_reading_a_response_takes_linear_time():
    n = 64_000
    texts = [
        "\\" * n,
        "\\boxed{" + "\\" * n + "}",
        "\\boxed{" * n,
        "\\boxed " * n,
        ("\\boxed" + " " * 50) * (n // 50),
        "\\boxed{\\phantom{1}}" * 5000,
        "$$\\boxed{1}\n\n" * 5000,
        "\\boxed{1}" + "\n\n" * n + "\\boxed{2}",
        "\\boxed{1}\\]" + "\\]" * n,
        "\\boxed{1}" + " " * n + "is" + " " * n,
        "\\boxed{1} final answer" + " " * n + "x",
        "\\boxed{1} " + "the answer is " * n,
        "\\boxed{1} final answer is " + "$" * n,
        "\\boxed{1}" + "no, wait, " * n,
        "\\boxed{1} or " + "," * n,
        "the answer is " * n + "\\boxed{1} the answer is \\boxed{2}",
    ]
    for text in texts:
        assert loops(partial(claimed_answers, text)) < 20, text[:40]


@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        ("anything at all", "anything at all", True),
        ("042", "42", True),
        ("-3", "3", False),
        ("0", "-0", True),
        ("a^2b^0", "a^2", True),
        ("a^2b^3", "b^3a^2", True),
        ("a^2b^3", "a^2b^4", False),
        ("a^{12}", "a^{12}", True),
        ("a^{12}", "a^{13}", False),
        ("a^{2}", "a^2", True),
        ("a^12", "a^13", None),  # LaTeX: a^1 times 2
        ("42", "42.0", None),
        ("42", "a^2", None),
        ("a^2", "e^2", None),
        ("a^2", "i^2", None),
        ("1/2", "0.5", None),
        ("9" * 30, "8" * 30, None),
    ],
)
def test_plain_answers_are_compared_exactly_and_the_rest_is_left_to_math_verify(gold, answer, equal):
    assert compare_plainly(gold, answer) is equal


def test_chains_are_decided_without_math_verify():
    rng = random.Random(0)
    for _ in range(500):
        gold, answer = ("".join(f"{name}^{rng.randrange(10)}" for name in "abcdfghj") for _ in range(2))
        assert compare_plainly(gold, answer) is (gold == answer)
