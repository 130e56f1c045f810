r"""Every reference answer is right in six spellings, and wrong for every other reference answer."""


from functools import partial

import pytest

from actors.verification.answer_rules import Comparison, decide
from actors.verification.verifier_process import judge_all
from tests.yardstick import loops

GOLDS = r"""
0
7
-13
2048
10,000,000
25,\!480,\!375
0.125
-3.75
0.1\overline{27}
\frac{5}{8}
-\frac{11}{7}
4\frac{2}{9}
35\%
\$17.50
6.02 \cdot 10^{23}
3 \times 10^{-11}
\frac{1}{2^{70}}
-\frac{1}{2^{70}}
\frac{1}{2^{71}}
\frac{3}{40!}
2^{100}-1
3^{64}
7!+6!
\binom{31}{4}
\frac{\binom{26}{13}}{2^{26}}
5^3\binom{8}{2}
\sqrt{7}
3\sqrt{5}-2
\frac{1+\sqrt{13}}{2}
\frac{1-\sqrt{13}}{2}
\sqrt[3]{5}
\sqrt[3]{25}
2^{2/5}
\sqrt{2+\sqrt{3}}
\frac{7\pi}{12}
9\pi-\frac{27\sqrt{3}}{4}
\pi^2
e^2-1
\frac{1}{e}
\ln 3
2\ln 3
\log_2 10
\log_{10} 2
\cos 36^\circ
\cos 36
\tan^2 20^\circ
\sin 1
3-4i
-3+4i
\frac{1+i\sqrt{7}}{2}
x^2-5x+6
x^2+5x+6
(x-2)(x+7)
\frac{x+1}{x-4}
\frac{x-4}{x+1}
2x\sqrt{x^2+1}
\frac{n(n+1)}{2}
\frac{n(n-1)}{2}
2^{n+1}-1
\binom{n+2}{3}
|x-5|
y=3x-8
x=\frac{9}{4}
x^2+y^2=36
x^2+y^2=49
f(x)=x^3-1
a^2b^4
(2,9)
(9,2)
(2,-9)
[2,9]
[2,9)
(2,9]
(-\infty,6)
(6,\infty)
[-4,\infty)
(-\infty,-2)\cup(5,\infty)
(-\infty,-2]\cup[5,\infty)
x<-3 \text{ or } x>8
-7<x\le 10
\{2,9,11\}
2,9,12
9,112
101,207,311
\frac{3\pm\sqrt{17}}{4}
\pm\sqrt{6}
(1,5),(5,1)
(1,5),(1,5)
(\sqrt{2},\ln 5)
(3,-1,6)
(6,-1,3)
\left(\frac{1}{3},-\frac{2}{5}\right)
\emptyset
\begin{pmatrix}4\\-6\\1\end{pmatrix}
\begin{pmatrix}1\\-6\\4\end{pmatrix}
\begin{pmatrix}2&7\\-5&3\end{pmatrix}
\begin{pmatrix}2&-5\\7&3\end{pmatrix}
\begin{pmatrix}-5&3\\2&7\end{pmatrix}
\begin{bmatrix}\frac{1}{2}&0\\0&\sqrt{3}\end{bmatrix}
1101_2
1101_3
647_8
8\text{ cm}
8\text{ cm}^2
8\text{ m}
8\text{ hours}
50^\circ
9:40
10:40
3:8
2:5:9
\text{Tuesday}
\text{Friday}
\text{DAD}
\text{ADD}
BCA
ABC
\text{no}
\text{odd}
(C)
(D)
p+q\sqrt{r}
\frac{a}{b+c}
\frac{a+b}{c}
\sum_{k=1}^{n} k^3
\gcd(a,b)
\lfloor x \rfloor
\mathbb{Z}
""".strip().splitlines()


def spellings(gold):
    """The answer with other spaces, sizes of fractions and brackets, and spaces of LaTeX."""
    yield f"${gold}$"
    yield gold.replace("\\frac", "\\dfrac").replace("\\binom", "\\dbinom")
    yield gold.replace("\\frac", "\\tfrac ").replace("\\cdot", "\\times")
    if "\\left" not in gold:
        yield gold.replace("(", "\\left( ").replace(")", " \\right)")
    yield blanks_around_operators(gold)
    yield gold.replace(" \\\\ ", "\\\\").replace(", ", ",") + "\\,."
    yield f"\\displaystyle {gold}"


def blanks_around_operators(gold):
    text = gold.replace("_2", "_{2}").replace("^\\circ", "^{\\circ}").replace(",\\!", "{,}")
    for operator in ("+", "-", "=", "<", "&", "\\\\", "\\cup", "\\pm", "/"):
        text = text.replace(operator, f" {operator} ")
    return text.replace(",", ", ") if "{,}" not in text and not gold.startswith("10,") else text


def verdict(gold, answer):
    decision = decide(gold, answer)
    if isinstance(decision, Comparison):
        return judge_all([{"references": decision.references, "answer": decision.answer}])
    return decision


@pytest.mark.parametrize("gold", GOLDS)
def test_an_answer_is_right_in_every_spelling(gold):
    assert [text for text in spellings(gold) if verdict(gold, text) != "correct"] == []


def test_no_answer_is_right_for_another():
    """Each is compared with those beside it, which are near, and with a ninth of the others."""
    pairs = [
        (gold, answer)
        for i, gold in enumerate(GOLDS)
        for j, answer in enumerate(GOLDS)
        if i != j and (abs(i - j) < 4 or (i + j) % 9 == 0)
    ]
    assert [(gold, answer) for gold, answer in pairs if decide(gold, answer) == "correct"] == []


TOKENS = r"""
(;[;\{;\cup ;:;<;1,;\pm ;_;\frac;\frac1;\text{;a and ;\begin{pmatrix};1:1:;\overline{;0.;C(;10^;%;/;cm ;1\,;{,}
000,;1,000;e5;0x;\choose ;{1\choose ;\text{ cm};\text{ cm}/;x<;x<1\text{ or };=;x=;^{\circ};2^{\circ};\sqrt{2};+\sqrt{2}
!;2!;1/;Ab ;\\ ;\$;*;(1);\pi ;i;\dot1;^;};];\};\{x:x>;per ;square ;km/h ;\frac{1}{2};B) ;\binom{1}{2};(-\infty,1)\cup
101_2,;2^{;\sin 2^{\circ};&;1e1 ;?
""".strip().replace("\n", ";")


@pytest.mark.parametrize("gold", ["x^2+1", "1,2", "(-\\infty,1)\\cup(2,\\infty)", "6\\text{ cm}^2"])
def test_no_repeated_token_takes_long(gold):
    for token in TOKENS.split(";"):
        assert loops(partial(decide, gold, (token * 1000)[:1000])) < 10, token
