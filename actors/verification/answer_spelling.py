r"""Normalizes the spelling of LaTeX answers, and splits them into parts, sides and units."""

import re

_SPELLINGS = [
    (re.compile(r"(?<!\\)\$|\\[!$]|\\displaystyle(?![a-zA-Z])"), ""),
    (re.compile(r"\\(?:left|right|[bB]igg?[lr]?)(?![a-zA-Z])\s*"), ""),
    (re.compile(r"\\[dtc]frac(?![a-zA-Z])"), r"\\frac"),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\[,;: ]|~|\\q?quad(?![a-zA-Z])"), " "),
    (re.compile(r"\u2212"), "-"),
    (re.compile(r"\s*(?:\^\s*(?:\\circ(?![a-zA-Z])|\{\s*\\circ\s*\})|°|\\degree(?![a-zA-Z]))"), r"^{\\circ}"),
    (re.compile(r"\s+"), " "),
]
_STYLED = re.compile(r"\\(?:text(?:bf|it|rm|normal)?|math(?:bf|rm|it|sf)|boldsymbol|bm|mbox)\s*\{([^{}]*[0-9][^{}]*)\}")


def cleaned(latex: str) -> str:
    r"""The answer in a uniform spelling: without $, \left, \, final full stop, and braces around the whole answer."""
    for pattern, spelling in _SPELLINGS:
        latex = pattern.sub(spelling, latex)
    latex = re.sub(r"(?:\\\\|[\s.,;:])+$", "", latex.strip())
    while latex.startswith("{") and latex.endswith("}") and _closes_at_the_end(latex):
        latex = latex[1:-1].strip()
    if match := _STYLED.fullmatch(latex):
        latex = match[1].strip()
    if re.fullmatch(r"\([^(),;]*\)", latex):
        latex = latex[1:-1].strip()
    return latex


def _closes_at_the_end(latex: str) -> bool:
    """Whether the brace at the start of the text is closed by the one at its end."""
    depth = 0
    for position, char in enumerate(latex):
        depth += (char == "{") - (char == "}")
        if depth == 0:
            return position == len(latex) - 1
    return False


_THOUSANDS = re.compile(r"([+-]?[0-9]{1,3}(?:([ ,])[0-9]{3})(?:\2[0-9]{3})*)(\.[0-9]+)?(?![0-9])")


def joined_thousands(answer: str) -> str:
    """1,000 and 1 000 -> 1000, if the answer begins with such a number and has no other comma."""
    match = _THOUSANDS.match(answer)
    if not match or "," in answer[match.end() :]:
        return answer
    return re.sub("[ ,]", "", match[1]) + (match[3] or "") + answer[match.end() :]


_UNIT = re.compile(
    r"(?P<value>.*[0-9)}\]])\s*(?:(?P<degree>\^\{\\circ\})"
    r"|\\(?:text(?:rm|bf|it)?|mathrm|mbox|operatorname)\s*\{\s*\(?(?P<word>[^{}0-9()]*)\)?\s*\}(?:\^\s*\{?[0-9]\}?)?)",
    re.DOTALL,
)
_BARE_UNIT = re.compile(
    r"(?P<value>.*[0-9)}\]])\s*"
    r"(?P<word>(?:(?:[a-zA-Z]{4,}|[cmdk]?m|ft|in|[mk]?g|lbs?|hrs?|min|sec|mph|[shL])(?:[ /]|$))+)",
    re.DOTALL,
)
_NO_UNIT = re.compile(
    r"\b(?:and|or|to|mod|times|plus|minus|over|choose|percent|half|dozen|hundred|thousand|[mbtr]+illion|squared|cubed"
    r"|factorial|sqrt|sinh?|cosh?|tanh?|infty|more|less|wrong|not)\b"
)
PERCENT = re.compile(
    r"(?P<value>.*?)\s*(?:\\?%|\bpercent(?:age)?|\\(?:text|mathrm)\s*\{\s*(?:percent|\\?%)\s*\})", re.DOTALL
)


def split_unit(latex: str, bare: bool = False) -> tuple[str, str]:
    r"""(value, unit in lower case without a plural s). A unit outside \text is recognised only if `bare`."""
    if PERCENT.fullmatch(latex):
        return latex, ""
    if match := _UNIT.fullmatch(latex):
        word = "degree" if match["degree"] else match["word"]
    elif bare and (match := _BARE_UNIT.fullmatch(latex)):
        word = match["word"]
    else:
        return latex, ""
    word = word.strip(" .").lower()
    if not word or _NO_UNIT.search(word):
        return latex, ""
    return match["value"].strip(), word.removesuffix("s")


_RELATION = re.compile(r"(?<![\\<>!:=])=|\\(?:approx|equiv|implies|iff|(?:long|Long)?(?:r|R)ightarrow|to)(?![a-zA-Z])")
SUBSCRIPT = re.compile(r"_\s*(?:\{[^{}]*\}|[a-zA-Z0-9])")
_SEPARATOR = re.compile(r"\\[{}]|[()\[\]{},;]|\\text\s*\{\s*(?:and|or)\s*\}|(?<![a-zA-Z\\])(?:and|or)(?![a-zA-Z])")


def parts(latex: str) -> list[str]:
    """The elements of a list at top level: `x=1, (2,3)` has two."""
    found, depth, start = [], 0, 0
    for match in _SEPARATOR.finditer(latex):
        token = match[0]
        if token[-1] in "([{":
            depth += 1
        elif token[-1] in ")]}" and len(token) <= 2:
            depth -= 1
        elif depth == 0:
            found.append(latex[start : match.start()])
            start = match.end()
    return [*found, latex[start:]]


def sides_of(latex: str) -> list[str]:
    """The sides of a chain of relations: `f(x)=2x` has two. A relation inside a subscript does not count."""
    masked = SUBSCRIPT.sub(lambda index: " " * len(index[0]), latex)
    sides, start = [], 0
    for relation in _RELATION.finditer(masked):
        sides.append(latex[start : relation.start()].strip())
        start = relation.end()
    return [*sides, latex[start:].strip()]


_CONSTANTS = re.compile(r"\\[a-zA-Z]+|\{|\}|(?<![a-zA-Z])[ei](?![a-zA-Z])")


def has_variable(latex: str) -> bool:
    """Whether the text has a letter other than e and i, outside commands."""
    return bool(re.search("[a-zA-Z]", _CONSTANTS.sub("", latex)))
