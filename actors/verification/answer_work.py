"""Whether an answer is a number, or work that is left to do: sums, products, roots, functions. Pure."""

import re

from actors.verification.answer_spelling import has_variable

_POWER_OF_TEN = re.compile(
    r"(?:([0-9])\s*(?:\\times|\\cdot|\u00d7|\u00b7)\s*)?(?<![0-9.])10\s*\^\s*(?:[0-9]|\{\s*[+-]?[0-9]{1,4}\s*\})"
)
_PERIOD = re.compile(
    r"\.[0-9]*(?:\\(?:overline|bar)\s*\{?\s*[0-9]+\s*\}?|\([0-9]+\)|(?:\\dot\s*(?:[0-9]|\{[0-9]\})[0-9]*){1,2})"
)
_NUMBER = r"[+-]?\s*(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
_FRACTION = re.compile(
    rf"\\frac\s*(?:\{{\s*{_NUMBER}\s*\}}\s*\{{\s*{_NUMBER}\s*\}}"
    r"|[0-9]\s*[0-9]|[0-9]\s*\{\s*[0-9]+\s*\})"
)
_SLASH = re.compile(r"(?<![0-9./])([0-9]+(?:\.[0-9]+)?)\s*/\s*[0-9]+(?:\.[0-9]+)?(?![0-9./])")
_PLAIN_WORDS = re.compile(
    r"\\(?:infty|cup|cap|setminus|mathbb\s*\{?[A-Z]\}?|\{|\}|%|emptyset|varnothing|langle|rangle|overline|l?dots|frac)(?![a-zA-Z])"
    r"|\\text\s*\{\s*(?:and|or)\s*\}|(?<![a-zA-Z])(?:and|or)(?![a-zA-Z])|\^\{\\circ\}"
)
_WORK = re.compile(
    r"\\[a-zA-Z]+|[*!^|\u00d7\u00f7·√∫∑∏π²³]"
    r"|[0-9)\]F]\s*[+-]"  # a sum
    r"|F\s*[F0-9(]|[0-9]\s*[({]|[0-9]\s+[0-9]|\)\s*[F0-9]|\)\s*\((?![^()]*,)"  # side by side: a product
    r"|(?<![a-zA-Z])(?:sqrt|sin|cos|tan|log|ln|exp|abs|max|min|gcd|lcm|floor|pi|e|i)(?![a-zA-Z])"
)
_OPERATORS = re.compile(r"\\(?:i*o?int|sum|prod|lim)(?![a-zA-Z])|[∫∑∏]")
_FUNCTIONS = [
    re.compile(r"!|\\[dt]?binom(?![a-zA-Z])|\\choose(?![a-zA-Z])"),
    re.compile(r"\\?(?<![a-zA-Z])(?:log|ln|lg|exp)(?![a-zA-Z])"),
    re.compile(r"\\?(?<![a-zA-Z])(?:arc)?(?:sin|cos|tan|cot|sec|csc)h?(?![a-zA-Z])"),
    re.compile(r"\\(?:gcd|max|min|[lr]?floor|[lr]?ceil|bmod|pmod|det|operatorname)(?![a-zA-Z])"),
]


def is_numeric(reference: str) -> bool:
    """Whether a reference answer consists of numbers only."""
    has_digit = bool(re.search("[0-9]", reference))
    return has_digit and not _WORK.search(_numbers_marked(reference)) and not has_variable(reference)


def is_unevaluated(reference: str, answer: str) -> bool:
    """Whether the answer has an unevaluated operation that the reference answer does not have."""
    if is_numeric(reference):
        return bool(_WORK.search(_numbers_marked(answer)))
    if not set(_OPERATORS.findall(answer)) <= set(_OPERATORS.findall(reference)):
        return True
    if has_variable(reference):
        return False
    return any(kind.search(answer) and not kind.search(reference) for kind in _FUNCTIONS)


def _numbers_marked(latex: str) -> str:
    """The text with F for each fraction and without the words of lists and sets."""
    latex = _POWER_OF_TEN.sub(lambda power: power[1] or "1", latex.replace("\\pm", "+"))
    latex = _PERIOD.sub(".0", latex)
    latex = _SLASH.sub("F", _FRACTION.sub("F", latex))
    return _PLAIN_WORDS.sub(lambda word: word[0][-1] if word[0] in ("\\{", "\\}") else " , ", latex)
