r"""Accepted and rejected answers with the reason, one case a line, judged by the verifier.

A case is the content of one box, or a whole response if it contains "\boxed".
"""
# ruff: noqa: RUF001 - characters that look like ASCII are among the cases

import asyncio

import pytest

from actors.verification.verifier import VerifierPool
from conf.schema import VerifierSettings

HALF = "\\frac{1}{2}"

ACCEPTED = [
    # one box after the last thought
    ("<think>\\boxed{41}</think> It is \\boxed{42}.", "42", "thoughts do not count"),
    ("<think>a</think>\\boxed{1}</think>\\boxed{42}", "42", "only what follows the last thought counts"),
    ("\\boxed{42}, that is \\boxed{42}", "42", "the same answer twice is one answer"),
    ("\\boxed{042} or \\boxed{\\textbf{(42)}}", "42", "one answer in two forms"),
    ("\\boxed{0.5} = \\boxed{\\frac12}", HALF, "one answer in two forms"),
    ("I write \\boxed{}. \\boxed{42}", "42", "an empty box claims nothing"),
    ("\\boxed{42}\\boxed{}", "42", "an empty box claims nothing"),
    ("\\boxed{\\boxed{42}}", "42", "a box in a box is one box"),
    ("\\boxed {42}", "42", "TeX allows the space"),
    ("\\\\boxed{42}", "42", "an escaped backslash is a slip"),
    ("\\boxed{42}. Wait, let me check: 6 times 7 is 42. Yes.", "42", "a check takes nothing back"),
    ("\\boxed{42}. The final answer is $42$.", "42", "announced again, the same"),
    ("\\boxed{\\sqrt{50}}. Final answer: $5\\sqrt{2}$", "5\\sqrt{2}", "announced again, in another form"),
    ("\\boxed{42}. The final answer is 42 minutes.", "42", "announced again, the same"),
    ("It is \\boxed{42}. The guess 41 is wrong.", "42", "something else is called wrong"),
    ("\\boxed{42} is not wrong", "42", "not called wrong"),
    ("\\boxed{7}. So it is\n\n\\boxed{42}", "42", "earlier paragraphs hold intermediate results"),
    ("First \\boxed{7}, so the answer is \\boxed{42}", "42", "the last box is announced as the answer"),
    ("\\boxed{\\phantom{2}}, that is \\boxed{42}", "42", "an empty frame"),
    ("\\boxed{2}, \\boxed{1}", "1,2", "each value in a box"),
    ("$x=\\boxed{1}$ or $x=\\boxed{2}$", "\\{1,2\\}", "each value in a box"),
    ("\\boxed{1}, \\boxed{2}", "(1,2)", "each value in a box"),
    ("$y=\\boxed{2}$, $x=\\boxed{1}$", "(1,2)", "each value in a box, with its name"),
    ("\\boxed{(0,1)} and \\boxed{(2,3)}", "(0,1)\\cup(2,3)", "each part in a box"),
    ("\\boxed{1,2} = \\boxed{2,1}", "1,2", "the same list twice"),
    ("".join(f"\\boxed{{{n}}}," for n in range(12)), ",".join(map(str, range(12))), "twelve values in boxes"),
    # dress
    ("**42**", "42", "bold"),
    ("\\textcolor{red}{42}", "42", "colour"),
    ("\\text{The answer is }42", "42", "a sentence"),
    ("N=\\text{42}", "42", "a name"),
    ("42\\pmod{100}", "42", "a remainder"),
    ("x \\equiv 3 \\pmod{5}", "x\\equiv 3\\pmod 5", "the reference answer has a modulus"),
    ("\\frac{1}{\\sqrt{3}} \\approx 0.577", "\\frac{\\sqrt{3}}{3}", "with its rounded value"),
    ("\\frac{1}{\\sqrt{3}} \\approx 0.577", "0.577", "with its exact value"),
    ("\\textbf{SOS}", "\\text{SOS}", "words in bold"),
    ("\\text{42 dollars}", "42", "a quantity in text"),
    ("42\\ \\checkmark", "42", "a check mark"),
    ("1-\\frac{1}{\\mathrm{e}}", "1-\\frac{1}{e}", "upright constants"),
    ("½", "\\frac{1}{2}", "a vulgar fraction"),
    ("3½", "\\frac{7}{2}", "a mixed number"),
    ("2√3", "\\sqrt{12}", "a root"),
    ("x²+1", "x^2+1", "a superscript"),
    ("（１，２）", "(1,2)", "full width"),
    ("1\u202f000", "1000", "a narrow blank between thousands"),
    ("12厘米", "12", "a unit of another script"),
    ("12厘米", "12\\text{ cm}", "a unit of another script"),
    ("42万", "420000", "ten thousands"),
    # equations
    ("x=42", "42", "names what is found"),
    ("f(2) = 42", "42", "names what is found"),
    ("a_{10}=42", "42", "an index is part of the name"),
    ("m+n=42", "42", "names what was asked for"),
    ("5", "x=5", "the name may be left out"),
    ("x=5", "x=5", "as the reference answer"),
    ("x = 1 \\text{ or } x = 2", "1,2", "names what is found"),
    ("(x,y)=(3,2)", "(3,2)", "names what is found"),
    ("2x", "f(x)=2 x", "the name may be left out"),
    ("a=b=c", "a=b=c", "the reference answer is a chain itself"),
    # percent
    ("50\\%", HALF, "its value is 1/2"),
    ("50 percent", "0.5", "its value is 1/2"),
    ("4200\\%", "42", "its value is 42"),
    ("42\\%", "42", "the problem asks for percent"),
    ("42", "42\\%", "the reference answer says it is percent"),
    ("12.5\\%", "12.5\\%", "as the reference answer"),
    ("12.5", "12.5\\%", "the reference answer says it is percent"),
    ("0.125", "12.5\\%", "the value of the reference answer"),
    ("\\frac{1}{8}", "12.5\\%", "the value of the reference answer"),
    ("12.5 percent", "12.5%", "in words"),
    # units
    ("42\\,cm", "42", "the reference answer leaves the unit to the problem"),
    ("42 \\text{ square units}", "42", "the reference answer leaves the unit to the problem"),
    ("42\\ \\mathrm{cm}^2", "42", "the reference answer leaves the unit to the problem"),
    ("\\$42", "42", "currency"),
    ("42^\\circ", "42", "degrees"),
    ("90", "90^{\\circ}", "degrees"),
    ("90°", "90^{\\circ}", "degrees"),
    ("90 \\text{ degrees}", "90^{\\circ}", "degrees"),
    ("42\\,\\mathrm{cm}", "42\\text{ cm}", "the same unit"),
    ("42", "42\\text{ cm}", "the unit may be left out"),
    # sets, tuples, intervals
    ("\\{42\\}", "42", "the set of the only solution"),
    ("x\\in\\{42\\}", "42", "the set of the only solution"),
    ("2,1", "1,2", "a list is unordered"),
    ("\\{1,2\\}", "1,2", "a list is a set"),
    ("1 \\text{ and } 2", "1,2", "a list in words"),
    ("x \\in [1,2]", "[1,2]", "an interval"),
    ("\\left[1, 2\\right]", "[1,2]", "an interval"),
    ("1,2", "(1,2)", "a tuple without its parentheses"),
    ("(-\\infty, 0) \\cup \\{1\\}", "(-\\infty,0)\\cup\\{1\\}", "a union"),
    # plain numbers, written in usual notations
    ("\\frac12", HALF, "TeX"),
    ("\\dfrac{1}{2}", HALF, "TeX"),
    ("1/2", HALF, "a fraction"),
    ("0.50", HALF, "a decimal"),
    (".5", HALF, "a decimal"),
    ("\\frac{2}{4}", HALF, "a fraction"),
    ("\\frac{84}{2}", "42", "a fraction is a literal number"),
    ("1\\frac{1}{2}", "\\frac{3}{2}", "a mixed number"),
    ("0.333333", "\\frac{1}{3}", "six places"),
    ("1,000", "1000", "thousands"),
    ("1{,}000{,}000", "1000000", "thousands"),
    ("1\\,000", "1000", "thousands"),
    ("1000", "1,000", "thousands"),
    ("10^6", "1000000", "a power of ten is a literal number"),
    ("1.5 \\times 10^{3}", "1500", "a power of ten is a literal number"),
    ("$42$", "42", "dollar signs in the box"),
    ("42.", "42", "a full stop in the box"),
    ("\\left(42\\right)", "42", "parentheses"),
    ("\\textbf{(042) }", "42", "bold"),
    ("\\text{42}", "42", "text"),
    ("\u221242", "-42", "a typographic minus"),
    # more than plain numbers
    ("5\\sqrt2", "\\sqrt{50}", "roots"),
    ("\\frac{12}{\\sqrt{2}}", "6\\sqrt{2}", "roots"),
    ("50^{1/2}", "\\sqrt{50}", "a power for a root"),
    ("\\pi+2", "2+\\pi", "pi"),
    ("\\frac{3\\pi}{4}", "\\frac{3}{4}\\pi", "pi"),
    ("(x+1)(x-1)", "x^2-1", "a product"),
    ("\\frac{(2n)!}{n!n!}", "\\binom{2n}{n}", "a factorial for a binomial"),
    ("\\binom{n+1}{2}", "\\frac{n(n+1)}{2}", "a binomial is a closed form"),
    ("\\text{ monday }", "\\text{Monday}", "words"),
    ("6m", "6m", "a letter is no unit here"),
]

REJECTED = [
    # one box after the last thought
    ("<think>\\boxed{42}</think> I do not know.", "42", "no_answer", "only a thought"),
    ("<think> it is \\boxed{42}", "42", "no_answer", "a thought that was cut off"),
    ("\\boxed{42} <think> or \\boxed{41}", "42", "no_answer", "a thought that was cut off"),
    ("\\boxed{41} or \\boxed{42}", "42", "wrong", "a hedge"),
    ("\\boxed{42} or \\boxed{41}", "42", "wrong", "a hedge"),
    ("First \\boxed{7}, then \\boxed{42}", "42", "wrong", "a hedge"),
    ("\\boxed{1}, \\boxed{3}", "1,2", "wrong", "another list in two boxes"),
    ("$y=\\boxed{1}$, $x=\\boxed{2}$", "(1,2)", "wrong", "the tuple in the order of its names is (2,1)"),
    ("$x = -\\boxed{42}$", "42", "no_answer", "the sign stands before the box"),
    ("\\boxed{2}, \\boxed{1}", "(1,2)", "wrong", "a tuple is ordered, in two boxes too"),
    ("\\boxed{1}, \\boxed{2}, \\boxed{3}", "1,2", "wrong", "too many values in boxes"),
    ("\\boxed{1,2} or \\boxed{1,3}", "1,2", "wrong", "a hedge between lists"),
    ("\\boxed{1}, \\boxed{2}", "[1,2]", "wrong", "the ends of an interval"),
    ("\\boxed{1} \\boxed{000}", "1000", "wrong", "boxes are no digits"),
    ("\\boxed{41}\n\nor\n\n\\boxed{42}", "42", "wrong", "a hedge in paragraphs"),
    ("The answer is \\boxed{41}. The answer is \\boxed{42}.", "42", "wrong", "two answers are announced"),
    ("\\boxed{42} or maybe 41", "42", "wrong", "a hedge in words"),
    ("\\boxed{42}. The answer is 41.", "42", "wrong", "another one is announced"),
    ("maybe \\boxed{42}? Let me check", "42", "no_answer", "a question"),
    ("\\fbox{41} or \\boxed{42}", "42", "wrong", "a hedge in two kinds of boxes"),
    # dress
    ("\\textbf{43}", "42", "wrong", "another number in bold"),
    ("\\textcolor{red}{41}\\textcolor{blue}{42}", "42", "wrong", "two numbers in colour"),
    ("\\text{not }42", "42", "wrong", "denied in the box"),
    ("\\cancel{42}", "42", "wrong", "struck out"),
    ("\\textbf{4}^{\\textbf{2}}", "42", "wrong", "a power"),
    ("142 \\bmod 100", "142", "wrong", "an unreduced remainder"),
    ("3\\pmod 7", "x \\equiv 3 \\pmod 5", "wrong", "another modulus"),
    ("\\frac{1}{\\sqrt{3}} \\approx 0.677", "\\frac{\\sqrt{3}}{3}", "wrong", "two values that disagree"),
    ("41 \\approx 42", "42", "wrong", "two values that disagree"),
    ("\\textbf{OSS}", "\\text{SOS}", "wrong", "other words in bold"),
    ("4²", "42", "wrong", "a superscript is a power"),
    ("4₂", "42", "wrong", "a subscript is no digit"),
    ("2½", "1", "wrong", "a mixed number is no product"),
    ("√3", "\\sqrt{2}", "wrong", "another root"),
    ("–7", "7", "wrong", "a typographic minus is one"),
    ("12厘米", "12\\text{ m}", "wrong", "another unit"),
    ("42万", "42", "wrong", "ten thousands"),
    ("\\boxed{41, \\boxed{42}}", "42", "wrong", "a hedge in one box"),
    ("".join(f"\\boxed{{{n}}}" for n in range(50)), "42", "wrong", "a hedge"),
    ("\\boxed{42} is wrong, final answer: 41", "42", "no_answer", "taken back"),
    ("\\boxed{42} is wrong, final answer: 41", "41", "no_answer", "taken back, and 41 is not boxed"),
    ("$\\boxed{42}$ was not correct.", "42", "no_answer", "taken back"),
    ("It is not \\boxed{42}", "42", "no_answer", "denied"),
    ("\\boxed{42}. **Final answer:** 41", "42", "wrong", "another one is announced"),
    ("\\boxed{42}. The correct answer is $41$.", "42", "wrong", "another one is announced"),
    ("no box: 42 \\boxed", "42", "no_answer", "no box"),
    ("\\boxed{42", "42", "no_answer", "cut off"),
    # equations
    ("43=42", "42", "wrong", "the left side is no name"),
    ("1=2=42", "42", "wrong", "a chain"),
    ("x=41=42", "42", "wrong", "a chain"),
    ("x=\\frac{84}{2}=42", "42", "wrong", "a chain, even a true one"),
    ("x+1=42", "42", "wrong", "that is x=41"),
    ("2x=42", "42", "wrong", "that is x=21"),
    ("41 \\Rightarrow 42", "42", "wrong", "the left side is no name"),
    ("y=5", "x=5", "wrong", "another name"),
    ("x=4=5", "x=5", "wrong", "a chain"),
    # percent
    ("0.42\\%", "0.42", "wrong", "a share, of which it is a hundredth"),
    ("41\\%,42\\%", "41,42", "wrong", "percent in a list without"),
    ("50\\%", "12.5\\%", "wrong", "another number"),
    # units
    ("42\\text{ m}", "42\\text{ cm}", "wrong", "another unit"),
    ("90 \\text{ minutes}", "1.5\\text{ hours}", "wrong", "another unit, though equal"),
    ("42\\text{ hours and }3\\text{ minutes}", "42", "wrong", "two quantities"),
    ("42 \\text{ thousand}", "42", "wrong", "a number word is no unit"),
    ("42x", "42", "wrong", "a variable is no unit"),
    ("6", "6m", "wrong", "a letter of the reference answer is no unit"),
    ("\\frac{\\pi}{2}", "90^{\\circ}", "wrong", "radians for degrees"),
    # sets, tuples, intervals
    ("42 or 43", "42", "wrong", "a hedge in one box"),
    ("41,42", "42", "wrong", "a hedge in one box"),
    ("\\{41,42\\}", "42", "wrong", "a hedge in one box"),
    ("\\pm 42", "42", "wrong", "two numbers"),
    ("(2,1)", "(1,2)", "wrong", "a tuple is ordered"),
    ("(1,2)", "[1,2]", "wrong", "an open interval for a closed one"),
    ("[1,2]", "(1,2)", "wrong", "a closed interval for an open one or a tuple"),
    ("1", "1,2", "wrong", "one of two"),
    ("1\\le x<2", "[1,2]", "wrong", "an inequality for another interval"),
    # left to work out
    ("6\\cdot 7", "42", "wrong", "a product"),
    ("(6)(7)", "42", "wrong", "a product"),
    ("6(7)", "42", "wrong", "a product"),
    ("\\frac{6}{1}\\frac{7}{1}", "42", "wrong", "a product"),
    ("\\frac{6\\times 7}{1}", "42", "wrong", "a product"),
    ("40+2", "42", "wrong", "a sum"),
    ("2^5+10", "42", "wrong", "a power and a sum"),
    ("\\int_0^{42}1dx", "42", "wrong", "an integral"),
    ("\\sqrt{1764}", "42", "wrong", "a root"),
    ("sqrt(1764)", "42", "wrong", "a root"),
    ("|-42|", "42", "wrong", "an absolute value"),
    ("4!+18", "42", "wrong", "a factorial"),
    ("2^{10}", "1024", "wrong", "a power"),
    ("2^{-1}", HALF, "wrong", "a power"),
    ("x=2+3", "x=5", "wrong", "a sum"),
    ("\\sin 60^{\\circ}", "\\frac{\\sqrt{3}}{2}", "wrong", "a function the reference answer does not have"),
    ("\\int_0^1 \\sqrt{50} dx", "\\sqrt{50}", "wrong", "an integral"),
    ("\\sum_{k=1}^{n} k", "\\frac{n(n+1)}{2}", "wrong", "a sum the reference answer does not have"),
    # other numbers, and what is no number
    ("43", "42", "wrong", "another number"),
    ("0.33", "\\frac{1}{3}", "wrong", "too few places"),
    ("4 2", "42", "wrong", "two numbers"),
    ("5\\sqrt{3}", "\\sqrt{50}", "wrong", "another number"),
    ("42\\dots", "42", "unparsable", "unfinished"),
    ("4\u200b2", "42", "unparsable", "an invisible character"),
    ("\u202e24", "42", "unparsable", "an invisible character"),
    ("4\x002", "42", "unparsable", "a control character"),
    ("1" * 1001, "42", "unparsable", "more than 1000 characters"),
]


@pytest.fixture(scope="module")
def judged():
    """(response, gold) -> verdict, all through one pool."""
    cases = [(text, gold) for text, gold, *_ in [*ACCEPTED, *REJECTED]]

    async def run():
        pool = VerifierPool(VerifierSettings(workers=1, deadline_s=30.0))
        try:
            return {(text, gold): await pool.judge(response(text), gold) for text, gold in cases}
        finally:
            pool.close()

    return asyncio.run(run())


def response(text):
    return text if "\\boxed" in text else f"So it is \\boxed{{{text}}}."


@pytest.mark.parametrize(("text", "gold", "reason"), ACCEPTED)
def test_accepted(judged, text, gold, reason):
    assert judged[text, gold] == "correct", reason


@pytest.mark.parametrize(("text", "gold", "verdict", "reason"), REJECTED)
def test_rejected(judged, text, gold, verdict, reason):
    assert judged[text, gold] == verdict, reason
