r"""Cleans reference answers of everything that data sets write around them, and finds those nothing can match. Pure.

    The answer is $\frac12$.  ->  \frac12      #### 42  ->  42          1e-07  ->  0.0000001
    **B.** 7                  ->  (B) 7        The correct option is (C)  ->  C

`answer_checks.py` then asks the verifier whether an answer can be parsed and matched.
"""

import re
from typing import Literal

from actors.problems.answer_values import Unmatchable, matchable_number
from actors.verification.answers import MAX_ANSWER_CHARS

AnswerKind = Literal["integer", "number", "several values", "equation", "words", "expression"]

_DOLLAR = re.compile(r"(?<!\\)\$")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_FINAL_STOP = re.compile(r"(?:(?<![\\.])[.;,]|[\u3002\uff1b\uff0c])+\Z")
_WRAPPERS = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"\*\*((?:(?!\*\*).)+)\*\*", r"\*([^*]+)\*", r"__((?:(?!__).)+)__", r"`+([^`]+)`+", r'"([^"]+)"', r"“([^”]+)”",
        r"\\\(((?:(?!\\\().)+)\\\)", r"\\\[((?:(?!\\\[).)+)\\\]", r"<answer>(.+)</answer>",
        r"<(?:b|i|em|strong|p|span)>([^<>]+)</[a-z]+>", r"\{\\bf ([^{}]+)\}",
    )
)  # fmt: skip
"""Markup around a whole answer."""
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*(?:\{|(?=[0-9A-Za-z]\Z))")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:(?: |\\,|\\ |\{,\})\d{3})+(?:\.\d+)?")
_SEPARATOR = re.compile(r" |\\,|\\ |\{,\}")
_SUBSCRIPTED_NAME = re.compile(r"\A[A-Za-z]_\{?\\[a-z]+ *\}?\s*=\s*")
"""`m_{\\max}=`, which math-verify cannot parse. It can parse a plain `m=`."""
_MARKS = r"[\s*_#>]*"
_ANNOUNCED = re.compile(
    rf"""{_MARKS} (?:(?:so|thus|hence|therefore|then)\b,?\s*)* (?:(?:the|my|our)\s+)?
    (?:(?:final|correct|right|required|desired|numerical|exact)\s+)* (?:answer|ans|result|option|choice)\b
    (?:\s+to\s+(?:the|this)\s+(?:problem|question))? {_MARKS}
    (?: (?:is|was|are|equals|will\s+be|would\s+be|should\s+be)\b\s*:? | [:=\uff1a] | \.(?=\s) | (?=[0-9]) ) {_MARKS}""",
    re.IGNORECASE | re.VERBOSE,
)
"""`The final answer is`, `**Answer:**`, `Ans.`"""
_ANNOUNCED_ELSEWHERE = re.compile(
    r"(?:答案|答|正确选项)\s*(?:[是为為]\s*)?[:\uff1a]?\s*"
    r"|(?:respuesta|réponse|reponse|antwort|resposta|risposta|ответ)\s*[:=\uff1a]\s*",
    re.IGNORECASE,
)
_PROSE = re.compile(r"[A-Za-z][A-Za-z ,'-]{0,60}?\s(?:is|are|equals)\s*:?\s*(?=[-+]?\.?[0-9]|\\(?!text)|[({\[])")
"""`The number of pairs is` before a formula."""
_LEADING = re.compile(
    r"#{2,}\s*|=\s*(?=[^=\s])|\\text\{[^{}]*\b(?:is|are|equals)[\s:]*\}|\\text\{[^{}]*:\s*\}"
    r"|(?i:so|thus|hence|therefore)(?![a-zA-Z]),?\s*(?=[-+]?\.?[0-9]|\\(?!text)|[a-z]\s*=)"
)
_TRAILING = re.compile(
    r"\s*(?:\bis\s+(?:the|our|your)\s+(?:(?:final|correct)\s+)?(?:answer|result)"
    r"|\((?:approx(?:\.|imately)?|exact(?:ly)?|final|or equivalent|rounded[^()]*)\))\Z",
    re.IGNORECASE,
)
_LABEL = (
    r"(?:\\(?:text(?:bf|rm)?|math(?:rm|bf|sf))\s*\{\s*\(?(?P<styled>[A-J])\s*[).:]*\s*\}|\((?P<round>[A-Ja-e])\)[.:]?"
    r"|\[(?P<square>[A-J])\]|(?P<bare>[A-J])[).:])"
)
_OPTION = re.compile(
    rf"(?:(?:[Oo]ption|[Cc]hoice)\s)?\s*{_LABEL}(?P<gap>(?:\s|\\ |~|\\quad|\*\*|:)*)(?P<value>.*)", re.DOTALL
)
_OPTION_WORD = re.compile(r"(?:option|choice)\s+([A-J])", re.IGNORECASE)
_OPERATOR = re.compile(r"[+*/^_=<>,'|]|-\s|\\(?:cup|cap|times|cdot|in|subset|setminus|to|le|ge|lt|gt)(?![a-zA-Z])")
_PARTS = re.compile(
    r"(?<![A-Za-z0-9\\])\(?(?:a|i|1)\)\s.*(?<![A-Za-z0-9\\])\(?(?:b|ii|2)\)\s", re.DOTALL | re.IGNORECASE
)
_COMMAND = re.compile(r"\\[A-Za-z]+")
_SENTENCE = re.compile(r"\b(?!sin|cos|tan|log|ln)[A-Za-z]{2,}(?:,? +[A-Za-z]+){3,}")
"""Four words in a row, the first of two letters or more: `no such integer exists`, not `3 hours and 20 minutes`."""
_NUMBER = re.compile(r"[+-]?(?:\d*\.\d+|\d+/\d+|\\[dt]?frac\{-?\d+\}\{-?\d+\}|\d+\^\{?-?\d+\}?|\d+(?:\.\d+)?\\%)")
_WORDS_ONLY = re.compile(r"[A-Za-z]{2,}(?: [A-Za-z]+)*|\\(?:text|mathrm|textbf)\{[^{}]*\}")


def clean_answer(answer: str) -> str:
    r"""The answer without markup, box, announcement, final full stop, subscripted name and thousands separators.

    `$69$,$84$` -> `69,84`; `\boxed{7}` -> `7`; `1\,000` -> `1000` (math-verify would read 1 times 0). A label of
    multiple choice stays before its value, `(B) 7`, so that both can match.
    """
    while True:
        before, answer = answer, _DOLLAR.sub("", _INVISIBLE.sub("", answer)).strip()
        answer = _without_box(_without_wrapper(answer))
        answer = _TRAILING.sub("", _FINAL_STOP.sub("", answer).rstrip())
        answer = _SUBSCRIPTED_NAME.sub("", _without_announcement(answer))
        if _THOUSANDS.fullmatch(answer):
            answer = _SEPARATOR.sub("", answer)
        answer = _number(_option(answer))
        if answer == before:
            return answer


def _without_wrapper(answer: str) -> str:
    match = next(filter(None, (wrapper.fullmatch(answer) for wrapper in _WRAPPERS)), None)
    return match[1].strip() if match else answer


def _without_box(answer: str) -> str:
    r"""The content of the box, if there is one box: `x = \boxed{5}` -> `5`."""
    boxes = list(_BOXED.finditer(answer))
    if len(boxes) != 1 and not (boxes and boxes[0].start() == 0):
        return answer
    start = boxes[0].end()
    if not boxes[0][0].endswith("{"):
        return answer[start:]
    depth, escaped = 1, False
    for stop in range(start, len(answer)):
        char = answer[stop]
        depth += 0 if escaped else (char == "{") - (char == "}")
        escaped = char == "\\" and not escaped
        if depth == 0:
            return answer[start:stop].strip() if len(boxes) == 1 or stop == len(answer) - 1 else answer
    return answer


def _without_announcement(answer: str) -> str:
    for pattern in (_ANNOUNCED, _ANNOUNCED_ELSEWHERE, _PROSE, _LEADING):
        if (match := pattern.match(answer)) and match.end() < len(answer):
            return answer[match.end() :].strip()
    return answer


def _option(answer: str) -> str:
    """A label of multiple choice in one form: `B. 7` -> `(B) 7`, `(C)` and `Option C` -> `C`."""
    if word := _OPTION_WORD.fullmatch(answer):
        return word[1].upper()
    match = _OPTION.fullmatch(answer)
    if not match:
        return answer
    label = match["styled"] or match["round"] or match["square"] or match["bare"]
    value = match["value"].strip()
    if not value:
        return label if label.isupper() else answer
    is_expression = _OPERATOR.match(value) or (not match["gap"] and (match["bare"] or value[0] in "({[-"))
    if is_expression or (not label.isupper() and not match["round"]) or re.search(_LABEL, value):
        return answer
    return f"({label.upper()}) {clean_answer(value)}"


def _number(answer: str) -> str:
    try:
        return matchable_number(answer)
    except Unmatchable:
        return answer  # `obvious_fault` says why


def obvious_fault(answer: str) -> str | None:
    """Why no response can match a clean answer, as far as this can be decided without a parser; None otherwise.

    The result is the predicate of a sentence that begins with `"answer"`.
    """
    if len(answer) > MAX_ANSWER_CHARS:
        return f"has {len(answer)} characters, the limit is {MAX_ANSWER_CHARS}; give the answer alone"
    if not has_balanced_braces(answer):
        return "has unbalanced braces, so it cannot be parsed; close every {"
    if _SENTENCE.search(_COMMAND.sub("|", answer)):
        return "is a sentence, which no response can be compared with; give a number, an expression or a name"
    if "\n" in answer and "\\begin" not in answer:
        return "has several lines, and a response has one answer; write the answer in one line"
    if _PARTS.match(answer):
        return "has several labelled parts, and a response has one answer; give each part a row of its own"
    try:
        matchable_number(answer)
    except Unmatchable as error:
        return str(error)
    return None


def has_balanced_braces(latex: str) -> bool:
    """Whether every unescaped { is closed by a }."""
    depth, escaped = 0, False
    for char in latex:
        if not escaped and char in "{}":
            depth += 1 if char == "{" else -1
            if depth < 0:
                return False
        escaped = char == "\\" and not escaped
    return depth == 0


def answer_kind(answer: str) -> AnswerKind:
    """A rough class of the answer, for the table of `pope problems check` only."""
    if re.fullmatch(r"[+-]?\d+", answer):
        return "integer"
    if _NUMBER.fullmatch(answer):
        return "number"
    if _WORDS_ONLY.fullmatch(answer):
        return "words"
    if "," in answer.replace("{,}", ""):
        return "several values"
    return "equation" if "=" in answer else "expression"
