r"""Undressed answers: what changes the look of an answer is removed, what it says stays."""
# ruff: noqa: RUF001 - characters that look like ASCII are among the dresses

import random
from functools import partial

import pytest

from actors.verification.typography import MAX_CHARS, plain_latex, undressed
from tests.yardstick import loops

DRESSED = {
    "73": [
        "**73**", "__73__", "*73*", "`73`", '"73"', "<b>73</b>", "<answer>73</answer>", "$73$",
        "\\(73\\)", "\\[73\\]", "{73}", "{{73}}", " 73 ", "73\\,", "73\\ ", "73~", "73\\quad", "~73", "\\;73",
        "\\underline{73}", "\\textcolor{red}{73}", "\\textcolor[HTML]{FF0000}{73}", "\\color{red}73",
        "\\color{red}{73}",
        "{\\color{blue} 73}", "\\colorbox{yellow}{73}", "\\fcolorbox{red}{white}{73}", "\\boxed{73}", "\\fbox{73}",
        "\\Large 73", "\\Large{73}", "{\\Huge 73}", "\\displaystyle 73", "{\\bf 73}", "\\bf{73}",
        "{\\rm 73}",
        "\\mathbf{73}", "\\textbf{73}", "\\textit{73}", "\\mathrm{73}", "\\text{73}", "\\textnormal{73}", "\\mbox{73}",
        "\\boldsymbol{73}", "\\bm{73}", "\\emph{73}", "\\ensuremath{73}", "\\mathbf{\\text{73}}", "\\operatorname{73}",
        "\\text{\\textbf{73}}", "\\underline{\\underline{\\mathbf{73}}}", "\\text{$73$}", "\\scalebox{1.5}{73}",
        "73\\checkmark", "73\\ \\checkmark", "73 ✓", "✅ 73", "73✔", "73 \\quad \\checkmark", "73∎",
        "\\text{The answer is }73", "\\text{The answer is 73}", "The answer is 73", "The final answer is: $73$",
        "Answer: 73", "**Answer:** 73", "Ans. = 73", "\\textbf{Answer: } 73", "\\text{Answer} = 73", "答案是73",
        "答案：73",
        "= 73", "\\approx 73", "\\therefore 73", "\\implies 73", "７３", "𝟕𝟑", "7\\phantom{0}3",
        "73\\label{a}",
        "73\\hspace{1em}", "\\begin{aligned}73\\end{aligned}", "\\begin{array}{c}73\\end{array}", "73rd",
        "73^{\\text{rd}}",
    ],
    "N=73": ["N=\\text{73}", "N=\\textbf{73}", "N=\\color{red}73"],
    "\\frac{1}{2}": ["\\mathbf{\\frac{1}{2}}", "\\color{red}\\frac{1}{2}", "\\frac{\\textbf{1}}{\\mathrm{2}}", "½"],
    "2xy": ["\\textbf{2xy}", "\\mathbf{2xy}"],
    "2x+1": ["\\text{2x+1}", "\\textbf{$2x+1$}"],
    "18\\text{ dollars}": ["\\text{18 dollars}", "\\textbf{18 dollars}", "\\textbf{18}\\text{ dollars}"],
    "12\\text{ cm}": ["12厘米", "\\text{12厘米}", "12 厘米", "12\\text{厘米}", "12см"],
    "20000": ["2万"],
    "15000\\text{ yuan}": ["1.5万元"],
    "12\\text{ m}^2": ["12平方米", "12㎡"],
    "60^{\\circ}": ["60度"],
    "3+4i": ["3+4\\mathrm{i}", "3+4\\text{i}", "3+4\\mathbf{i}"],
    "e^2": ["\\mathrm{e}^2", "\\operatorname{e}^2", "ⅇ^2"],
    "x^{12}": ["x^\\mathbf{12}", "x^{\\textbf{12}}", "x¹²"],
    "2\\pi r": ["2\\pi\\mathbf{r}", "2πr"],
    "1, 2": ["\\text{1, 2}", "\\textbf{1}, \\textbf{2}", "1， 2"],
    "\\text{SOS}": ["\\textbf{SOS}", "\\mathbf{SOS}", "\\emph{SOS}", "**\\text{SOS}**"],
}  # fmt: skip
"""Plain answer -> dressed forms of it."""

UNTOUCHED = [
    "73", "-7.5", "\\frac{1}{2}", "\\sqrt[3]{2}", "x^2+1", "\\{1,2\\}", "(1,2)", "[0,1)", "1\\,000", "\\$18", "20\\%",
    "\\text{SOS}", "\\text{no solution}", "\\mathbb{R}", "\\overline{AB}", "0.\\overline{3}", "\\mathrm{lcm}(2,3)",
    "5\\,\\mathrm{cm}", "5\\text{ N}", "1 \\text{ and } 2", "\\text{3 hours and 20 minutes}", "\\text{A1}",
    "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "\\begin{pmatrix}1 \\\\ -2\\end{pmatrix}", "x \\equiv 3 \\pmod 5",
    "2**3**4", "\\cancel{73}", "\\not 73", "\\text{not }73", "3:4", "73!", "f'(x)", "\\binom{5}{2}", "\\vec{v}",
    "\\frac{1}{2", "73}", "4\u200b2",
]  # fmt: skip


@pytest.mark.parametrize("plain", DRESSED)
def test_dress_is_removed(plain):
    assert {form: plain_latex(form) for form in DRESSED[plain]} == dict.fromkeys(DRESSED[plain], plain)


def test_what_an_answer_says_stays():
    assert [plain_latex(answer) for answer in UNTOUCHED] == UNTOUCHED


@pytest.mark.parametrize("decoration", ["", " ", "\\phantom{2}", "\\checkmark", "✓", "\\,", "\\text{}", "{}"])
def test_what_prints_nothing_is_empty(decoration):
    assert plain_latex(decoration) == ""


WRAPPINGS = [
    "\\textbf{%s}", "\\text{%s}", "\\mathbf{%s}", "\\textcolor{red}{%s}", "{\\Large %s}", "**%s**", "$%s$",
    "%s\\checkmark",
    "\\text{The answer is }%s", "Answer: %s", "\\underline{%s}", "\\,%s\\,", "{%s}", "\\displaystyle %s", "\\(%s\\)",
    "\\fbox{%s}", "= %s",
]  # fmt: skip
PLAIN = [
    "73", "-5", "0.25", "\\frac{3}{4}", "x^2+1", "2\\sqrt{3}", "\\pi", "(1,2)", "\\{1,2\\}", "3+4i", "1-\\frac{1}{e}",
    "x=5",
    "[0,\\infty)", "\\frac{x+1}{x-1}", "2^{10}", "a_{10}", "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "12\\text{ cm}",
]  # fmt: skip


def test_any_dress_over_any_other_is_removed():
    random_ = random.Random(0)
    for _ in range(1000):
        plain = random_.choice(PLAIN)
        dressed = plain
        for wrapping in random_.sample(WRAPPINGS, k=random_.randint(1, 3)):
            dressed = wrapping % dressed
        assert plain_latex(dressed) == plain, dressed


def test_undressing_twice_changes_nothing_more():
    for answer in [*UNTOUCHED, *(form for forms in DRESSED.values() for form in forms)]:
        assert plain_latex(plain_latex(answer)) == plain_latex(answer)


@pytest.mark.parametrize(
    ("reference", "answer", "plain"),
    [
        ("73", "73\\pmod{100}", "73"),
        ("73", "73 \\pmod 100", "73"),
        ("73", "73\\ (\\bmod\\ 100)", "73"),
        ("73", "73 (mod 100)", "73"),
        ("73", "73\\,(\\text{mod }100)", "73"),
        ("73", "73 \\text{ (mod } 100)", "73"),
        ("73", "73 mod 100", "73"),
        ("73", "73\\mod{100}", "73"),
        ("73", "N \\equiv 73 \\pmod{100}", "N \\equiv 73"),
        ("73", "N = 73 \\bmod 100", "N = 73"),
        ("173", "173 \\bmod 100", "173 \\bmod 100"),
        ("3", "-4 \\pmod 7", "-4 \\pmod 7"),
        ("x \\equiv 3 \\pmod 5", "x \\equiv 3 \\pmod 7", "x \\equiv 3 \\pmod 7"),
    ],
)
def test_a_modulus_is_dress_if_the_reference_answer_has_none(reference, answer, plain):
    assert undressed(reference, answer) == (reference, plain)


@pytest.mark.parametrize(
    ("reference", "answer", "plain"),
    [
        ("\\frac{\\sqrt{3}}{3}", "\\frac{1}{\\sqrt{3}} \\approx 0.577", "\\frac{1}{\\sqrt{3}}"),
        ("\\frac{\\sqrt{3}}{3}", "\\frac{1}{\\sqrt{3}} ≈ 0.577", "\\frac{1}{\\sqrt{3}}"),
        ("\\frac{2}{3}", "\\frac{2}{3} (\\approx 0.67)", "\\frac{2}{3}"),
        ("\\frac{2}{3}", "\\frac{2}{3} \\approx 0.66", "\\frac{2}{3}"),
        ("12\\pi", "12\\pi\\text{ cm} \\approx 37.7\\text{ cm}", "12\\pi\\text{ cm}"),
        ("x", "x=\\sqrt{2} \\simeq 1.41\\ldots", "x=\\sqrt{2}"),
        ("\\ln 2", "\\ln 2 \\approx 0.69", "\\ln 2"),
        ("0.577", "\\frac{1}{\\sqrt{3}} \\approx 0.577", "0.577"),
        ("0.8", "\\ln 2 \\approx 0.8", "\\ln 2 \\approx 0.8"),
        ("0.8", "\\frac{1}{\\sqrt{3}} \\approx 0.8", "\\frac{1}{\\sqrt{3}} \\approx 0.8"),
        ("\\frac{1}{2}", "\\frac{1}{2} \\approx 0.6", "\\frac{1}{2} \\approx 0.6"),
        ("41", "41 \\approx 42", "41 \\approx 42"),
        ("42", "41 \\approx 42", "41 \\approx 42"),
        ("42", "41.6 \\approx 42", "41.6"),
        ("0.5", "10^{400} \\approx 3.0", "10^{400} \\approx 3.0"),
        ("0.5", "3i \\approx 3", "3i \\approx 3"),
    ],
)
def test_of_an_exact_and_a_rounded_value_that_agree_one_counts(reference, answer, plain):
    assert undressed(reference, answer) == (reference, plain)


def test_undressing_is_bounded():
    texts = [
        "\\",
        "{",
        "}",
        "{}",
        "\\text{",
        "\\textbf{1}",
        "**",
        "½",
        "√",
        "√(",
        " ",
        "\\,",
        "mod ",
        "1 \\approx ",
        "米1",
    ]
    for text in texts:
        assert loops(partial(undressed, "42", text * (MAX_CHARS // len(text)))) < 5, text
        assert loops(partial(plain_latex, text * MAX_CHARS)) < 5, text
        assert plain_latex(text * MAX_CHARS) == text * MAX_CHARS or len(text) * MAX_CHARS <= MAX_CHARS
