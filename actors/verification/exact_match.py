r"""`verifier.judge=exact_match`: the boxed answer is the reference answer, letter by letter.

Which boxes of a response are its answers is decided as for `math` (`answers.py`). Runs of white space count as one
blank, and `\text{...}` around a whole answer is no part of it, because models box words in it.
"""

import re

from actors.verification.answers import claimed_answers
from actors.verification.thoughts import Thoughts
from broker.records import Verdict

_IN_TEXT = re.compile(r"\\(?:text|mathrm|textbf)\s*\{([^{}]*)\}")


def exact_match(text: str, reference: str, thoughts: Thoughts) -> Verdict:
    """`correct` if every answer that the response claims is the reference answer; `no_answer` if it claims none."""
    answers = {_plain(answer) for answer in claimed_answers(text, thoughts)}
    if not answers:
        return "no_answer"
    return "correct" if answers == {_plain(reference)} else "wrong"


def _plain(answer: str) -> str:
    words = " ".join(answer.split())
    in_text = _IN_TEXT.fullmatch(words)
    return in_text[1].strip() if in_text else words
