r"""Removes the dress of an answer: what changes how it looks, and not what it says.

    \textcolor{red}{73}   **73**   {\Large 73}   \text{The answer is }73   73\ \checkmark   $73$            ->  73
    \text{18 dollars}   12厘米   \mathrm{e}                              ->  18\text{ dollars}   12\text{ cm}   e

Words remain words: `\textbf{SOS}` becomes \text{SOS}. `plain_latex` looks at one answer only. `undressed` may remove
more, because it knows the reference answer: a modulus and a rounded value are dress if the reference answer has none.
"""

import re
from collections import deque
from fractions import Fraction
from typing import TypeAlias

from actors.verification import exact_numbers
from actors.verification.characters import latex_characters
from actors.verification.foreign_units import with_latin_unit

MAX_CHARS = 1000
"""Longer answers stay as they are; the verifier refuses them."""
MAX_DEPTH = 40
"""Deepest braces of an answer whose commands are removed; the verifier refuses depths over 20."""
MAX_PASSES = 4
"""Dress below dress, such as `**Answer:** \\textbf{73}`, is removed in repeated passes."""

_Node: TypeAlias = "str | list[_Node]"
"""A token, or the nodes between a pair of braces."""

_TOKEN = re.compile(r"\\[a-zA-Z]+\*?|\\.|[{}$]|[^\\{}$]+|\\", re.DOTALL)
_MATH_STYLES = {"mathbf", "mathit", "mathsf", "mathtt", "mathnormal", "boldsymbol", "bm", "pmb", "bold"}
_TEXT_STYLES = {
    "text", "textnormal", "textrm", "textbf", "textit", "textsf", "texttt", "textsl", "textsc", "textup", "textmd",
    "emph", "mbox", "hbox", "mathrm", "operatorname",
}  # fmt: skip
_KEPT_STYLES = {"mathrm", "operatorname"}
"""Text styles that stay around letters: these are names of units and functions."""
_PRINTING_LAST = {
    "underline": 1, "uline": 1, "uuline": 1, "boxed": 1, "fbox": 1, "framebox": 1, "bbox": 1, "ensuremath": 1,
    "mathop": 1, "mathord": 1, "mathopen": 1, "mathclose": 1, "smash": 1, "textcolor": 2, "colorbox": 2,
    "fcolorbox": 3, "href": 2, "scalebox": 2, "raisebox": 2,
}  # fmt: skip
"""Command -> number of its arguments, of which it prints the last as it is."""
_PRINTING_NOTHING = {
    "color": 1, "phantom": 1, "hphantom": 1, "vphantom": 1, "hspace": 1, "hspace*": 1, "vspace": 1, "label": 1,
    "tag": 1, "tag*": 1, "rule": 2,
    **dict.fromkeys((
        "Large", "large", "LARGE", "Huge", "huge", "small", "normalsize", "footnotesize", "scriptsize", "tiny",
        "displaystyle", "textstyle", "scriptstyle", "scriptscriptstyle", "bf", "it", "sf", "tt", "sl", "bfseries",
        "itshape", "sffamily", "ttfamily", "boldmath", "mathstrut", "strut", "limits", "nolimits", "displaylimits",
        "centering", "noindent", "nonumber", "notag", "allowbreak", "relax", "protect", "qed", "blacksquare",
    ), 0),
}  # fmt: skip
"""Command -> number of its arguments."""
_SYMBOLS = re.compile(r"\\(?:cdot|times|div|pm|mp|le|leq|ge|geq|ne|neq|lt|gt|approx|equiv|in|to|cup|cap|infty|pi)\s*$")
_TAKES_ARGUMENT = re.compile(r"(?:[\^_}]|\\[a-zA-Z]+)\s*$")

_NO_TEXT = re.compile(r"\\(?:text|mathrm|operatorname|begin|end)\s*\{[^{}]*\}|\\[a-zA-Z]+")
_LETTER = re.compile(r"[^\W\d_]")
_NUMBER_AND_WORDS = re.compile(
    r"(?P<number>\s*[^a-zA-Z]*[0-9})%])\s+(?P<words>(?:[a-zA-Z]{2}|[mgshLNJWVAKCF](?![a-zA-Z]))[a-zA-Z ./-]*)"
)
_NO_WORDS = re.compile(
    r"(?!\s*[a-zA-Z]+[0-9]+\s*\Z)"
    r"(?:[^a-zA-Z]|\\[a-zA-Z]+|(?<![a-zA-Z])(?:and|or|[a-zA-Z]{1,3})(?![a-zA-Z]))*"
)
"""Formulas, also several joined by `and` or `or`; not labels such as A1."""
_ORDINAL = re.compile(r"(?P<number>[0-9]+)(?:st|nd|rd|th)")

_BOLD = re.compile(r"(?<![0-9a-zA-Z)}\]*])\*\*(?=[^\s*])([^*]+)(?<=\S)\*\*(?![0-9a-zA-Z({\[*])")
_WRAPPED = [
    re.compile(r"\*([^*]+)\*"),
    re.compile(r"__([^_]+)__"),
    re.compile(r"[\"'`]+([^\"'`]+)[\"'`]+"),
    re.compile(r"<(?:b|strong|i|em|u|answer)>([^<>]+)</(?:b|strong|i|em|u|answer)>"),
    re.compile(
        r"\\begin\s*\{(?:aligned|align\*?|equation\*?|gathered|gather\*?|split|array)\}(?:\{[a-z|]*\})?"
        r"((?:[^&\\]|\\[^\\])+)\\end\s*\{[a-z*]+\}"
    ),
]
"""What may enclose a whole answer."""
_LEADING = re.compile(
    r"(?:\s|\\[,;:! ]|~|=>?|:(?!\d)|\\\\|\\(?:q?quad|checkmark|therefore|implies|Rightarrow|approx)(?![a-zA-Z]))+"
)
_ENDINGS = ("\\checkmark", "\\qquad", "\\quad", "\\,", "\\;", "\\:", "\\!", "\\", "~")
_PHRASE = r"""(?:(?:so|thus|hence|therefore)\b,?\s*)?
    (?:(?:the|our|my)\s+)?(?:(?:final|correct|required|desired|exact)\s+)*
    (?:answer|ans|result|solution|value)\b\.?(?:\s+of\s+[a-zA-Z])?\s*(?:is\b|are\b|equals\b|[:=])\s*:?
    |答案?\s*(?:[是为:])\s*:?"""
_ANNOUNCEMENT = re.compile(
    rf"(?:\\text\s*\{{\s*(?:{_PHRASE})\s*\}}|\\text\s*\{{\s*(?:answer|ans)\.?\s*\}}\s*[:=]|{_PHRASE})\s*:?\s*(?=\S)",
    re.IGNORECASE | re.VERBOSE,
)
_LABEL_WORD = r"(?!(?:not|never|no|than|least|most|except)\b)[a-z][a-z']*+\s*+"
_LABEL = re.compile(
    rf"""\\text\s*\{{\s* (?: (?:{_LABEL_WORD}){{1,12}} (?: (?<=\sis\s)|(?<=\sis)|(?<=\sare\s)|(?<=\sare) | : \s* )
    | (?:about|approximately|around|roughly|exactly) \s* ) \}} \s* (?=[-+]?\.?[0-9]|\\(?!text)|[(\[{{])""",
    re.IGNORECASE | re.VERBOSE,
)
"""What a number is, before it: `\\text{The probability is }`, `\\text{Total: }`."""


def plain_latex(answer: str) -> str:
    """The answer without its dress; see the module docstring. Longer ones than `MAX_CHARS` stay as they are."""
    text = latex_characters(answer) if len(answer) <= MAX_CHARS else answer
    if len(text) > MAX_CHARS:
        return answer
    for _ in range(MAX_PASSES):
        before, text = text, _one_pass(text)
        if text == before:
            break
    return text


def _one_pass(text: str) -> str:
    text = _BOLD.sub(r"\1", text.strip())
    for wrapped in _WRAPPED:
        if match := wrapped.fullmatch(text):
            text = match[1]
    nodes = _nodes(text)
    if nodes is not None:
        while len(nodes) == 1 and isinstance(nodes[0], list):
            nodes = nodes[0]
        text = _printed(nodes)
    text = _without_ends(text)
    for introduction in (_ANNOUNCEMENT, _LABEL):
        text = text[match.end() :] if (match := introduction.match(text)) else text
    if match := _ORDINAL.fullmatch(re.sub(r"\\text(?![a-zA-Z])|[\^{}\s]", "", text)):
        return match["number"]
    return with_latin_unit(text)


def _without_ends(text: str) -> str:
    """The text without blanks, check marks and relation signs before it, and without blanks and check marks after."""
    if leading := _LEADING.match(text):
        text = text[leading.end() :]
    text = text.rstrip()
    while ending := next((ending for ending in _ENDINGS if text.endswith(ending)), None):
        text = text[: -len(ending)].rstrip()
    return text


def _nodes(text: str) -> list[_Node] | None:
    """The text as a tree of tokens; None if the braces are unbalanced or deeper than `MAX_DEPTH`."""
    stack: list[list[_Node]] = [[]]
    for token in _TOKEN.findall(text):
        if token == "{":
            stack.append([])
        elif token == "}":
            if len(stack) == 1:
                return None
            group = stack.pop()
            stack[-1].append(group)
        else:
            stack[-1].append(token)
        if len(stack) > MAX_DEPTH:
            return None
    return stack[0] if len(stack) == 1 else None


def _printed(nodes: list[_Node]) -> str:
    """The LaTeX of the nodes without dress."""
    waiting = deque(nodes)
    text = ""
    while waiting:
        node = waiting.popleft()
        if isinstance(node, list):
            text += f"{{{_printed(node)}}}"
            continue
        name = node.removeprefix("\\")
        if node in ("$", "\\(", "\\)", "\\[", "\\]"):
            continue
        if node == "\\rm":
            content = _printed(list(waiting))
            waiting.clear()
            text = _joined(text, _styled("mathrm", content))
        elif not node.startswith("\\") or name not in _ARGUMENTS:
            text += node
        else:
            arguments = [_argument(waiting) for _ in range(_ARGUMENTS[name])]
            if name not in _PRINTING_NOTHING:
                content = _printed(arguments[-1])
                is_plain = name in _PRINTING_LAST or _is_formula(arguments[-1])
                text = _joined(text, content if is_plain else _styled(name, content))
    return text


_ARGUMENTS = {**dict.fromkeys(_MATH_STYLES | _TEXT_STYLES, 1), **_PRINTING_LAST, **_PRINTING_NOTHING}
"""Every command that is dress -> number of its arguments."""


def _is_formula(nodes: list[_Node]) -> bool:
    """Whether the nodes are one formula inside a text: $x+1$."""
    return len(nodes) > 2 and nodes[0] == nodes[-1] == "$" and "$" not in nodes[1:-1]


def _argument(waiting: deque[_Node]) -> list[_Node]:
    """Removes the next argument of a command: the content of a group, or one token. An optional [...] is skipped."""
    while waiting and isinstance(waiting[0], str) and waiting[0][0] != "\\":
        rest = waiting.popleft().lstrip()  # type: ignore[union-attr] # a string, as tested
        if rest.startswith("[") and "]" in rest:
            rest = rest.partition("]")[2].lstrip()
        if rest:
            if len(rest) > 1:
                waiting.appendleft(rest[1:])
            return [rest[0]]
    if not waiting:
        return []
    argument = waiting.popleft()
    return argument if isinstance(argument, list) else [argument]


def _joined(before: str, content: str) -> str:
    """Both, with the braces that `content` needs where it is an argument, a power or an index."""
    if symbol := _SYMBOLS.search(before[-12:]):
        blank = "" if symbol[0][-1].isspace() or not content[:1].isalpha() else " "
        return f"{before}{blank}{content}"
    is_argument = _TAKES_ARGUMENT.search(before[-24:]) and not content.startswith("\\text{")
    return f"{before}{{{content}}}" if is_argument else before + content


def _styled(name: str, content: str) -> str:
    """The content of a style command: bare if it is no text, else in \\text, \\mathrm or \\operatorname."""
    words = _NO_TEXT.sub("", content).strip()
    if not _LETTER.search(words) or content.strip() in ("e", "i") or "\\text{" in content:
        return content
    if name in _MATH_STYLES:
        return content if len(words) < 3 or not words.isalpha() else f"\\text{{{content}}}"
    style = name if name in _KEPT_STYLES else "text"
    if match := _ANNOUNCEMENT.match(content.lstrip()):
        return _styled(name, content.lstrip()[match.end() :])
    if any(char.isdigit() for char in words):
        if match := _NUMBER_AND_WORDS.fullmatch(content):
            return f"{match['number']}\\{style}{{ {match['words']}}}"
        if _NO_WORDS.fullmatch(content):
            return content
    return f"\\{style}{{{content}}}"


_MODULUS = re.compile(
    r"(?P<residue>(?:.*(?:=|\\equiv(?![a-zA-Z]))\s*)?(?P<value>[0-9]{1,18}))(?:\s|\\[,;:! ]|~|\\q?quad(?![a-zA-Z]))*"
    r"\(?\s*(?:\\(?:pmod|bmod|mod|pod)|\\(?:text|mathrm|operatorname)\s*\{\s*\(?mod(?:ulo)?\s*\}|mod(?:ulo)?)(?![a-zA-Z])"
    r"(?:\s|\\[,;:! ]|~)*\{?\s*(?P<modulus>[0-9]{1,18})\s*\}?\s*\)?",
    re.DOTALL,
)
_APPROXIMATELY = re.compile(r"\\(?:approx|simeq|doteq|thickapprox)(?![a-zA-Z])")
_ROUNDED = re.compile(
    rf"(?P<exact>.+?)\s*\(?\s*{_APPROXIMATELY.pattern}\s*"
    r"(?P<rounded>-?[0-9]{1,18}(?:\.(?P<places>[0-9]{1,18}))?)\s*(?:\\l?dots|\.\.\.)?"
    r"(?:\s*\\(?:text|mathrm)\{[^{}0-9]*\})?\s*\)?",
    re.DOTALL,
)
_NAME = re.compile(r"[a-df-hj-zA-Z]|[a-zA-Z]+(?:_\{?[a-zA-Z0-9]\}?|\([a-zA-Z0-9]\))")
_UNIT_LAST = re.compile(r"\s*\\(?:text|mathrm)\{[^{}0-9]*\}\s*\Z")
_DECIMAL = re.compile(r"-?[0-9]*\.[0-9]+")


def undressed(reference: str, answer: str) -> tuple[str, str]:
    r"""Reference answer and answer without dress.

    `73\pmod{100}` is 73 if the reference answer has no modulus. `\frac{1}{\sqrt{3}} \approx 0.577` is its exact side;
    if the reference answer is a decimal, its rounded side, provided that the two sides agree.
    """
    reference, answer = plain_latex(reference), plain_latex(answer)
    is_decimal = bool(_DECIMAL.fullmatch(reference))
    if "mod" in answer and "mod" not in reference:
        match = _MODULUS.fullmatch(answer)
        answer = match["residue"] if match and int(match["value"]) < int(match["modulus"]) else answer
    return _one_side(reference, is_decimal), _one_side(answer, is_decimal)


def _one_side(text: str, rounded: bool) -> str:
    """One side of `exact \\approx rounded`. Both, if they are known to disagree."""
    match = _ROUNDED.fullmatch(text) if _APPROXIMATELY.search(text) else None
    if not match or _APPROXIMATELY.search(match["exact"]):
        return text
    if _NAME.fullmatch(match["exact"]):
        return match["rounded"]
    agreed = _agree(_UNIT_LAST.sub("", match["exact"].rpartition("=")[2]), match["rounded"], len(match["places"] or ""))
    if agreed is False or (rounded and agreed is None):
        return text
    return match["rounded"] if rounded else match["exact"]


def _agree(exact: str, rounded: str, places: int) -> bool | None:
    """Whether a number rounded or truncated to `places` is `rounded`; None if it cannot be evaluated."""
    try:
        value, _ = exact_numbers.read(exact)
    except exact_numbers.NotPlain:
        return None
    number = exact_numbers.approximated(value)
    if number is None:
        return None
    unit, error = Fraction(1, 10**places), Fraction(rounded) - number
    is_truncated = places > 0 and 0 <= abs(number) - abs(Fraction(rounded)) < unit and abs(error) < unit
    return is_truncated or abs(error) <= unit / 2
