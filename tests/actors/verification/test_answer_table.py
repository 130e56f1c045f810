r"""Accepted and rejected answers with the reason, one case a line, judged by the verifier.

A case is the content of one box, or a whole response if it contains "\boxed".
"""

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
    ("\\boxed{1}, \\boxed{2}", "1,2", "wrong", "neither box is the answer"),
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
    ("1\\le x\\le 2", "[1,2]", "wrong", "an inequality for an interval"),
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
