r"""Writes the mathematical characters of Unicode in LaTeX: `½` -> \frac{1}{2}, `√2` -> \sqrt{2}, `x²` -> x^{2}.

No value changes: superscripts become exponents, and a character without a known meaning stays, as do invisible ones,
which `answer_cost` refuses.
"""
# ruff: noqa: RUF001 - characters that look like ASCII are its subject

import html
import re
import unicodedata

_GREEK = (
    ("αβγδεϵζηθϑικλμνξπρσςτυφϕχψω",
     "alpha beta gamma delta epsilon epsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi rho sigma varsigma"
     " tau upsilon phi phi chi psi omega"),
    ("ΓΔΘΛΞΠΣΥΦΨΩ", "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"),
)  # fmt: skip
_COMMANDS = {
    **{letter: name for letters, names in _GREEK for letter, name in zip(letters, names.split(), strict=True)},
    "×": "times", "✕": "times", "✖": "times", "÷": "div", "·": "cdot", "⋅": "cdot", "∙": "cdot", "∞": "infty",
    "∅": "emptyset", "⌀": "emptyset", "∈": "in", "∉": "notin", "∪": "cup", "∩": "cap", "∖": "setminus", "⊂": "subset",
    "⊆": "subseteq", "≤": "le", "≦": "le", "⩽": "le", "≥": "ge", "≧": "ge", "⩾": "ge", "≠": "ne", "≈": "approx",
    "≡": "equiv", "±": "pm", "∓": "mp", "∠": "angle", "△": "triangle", "⇒": "Rightarrow", "⟹": "implies", "→": "to",
    "⌊": "lfloor", "⌋": "rfloor", "⌈": "lceil", "⌉": "rceil", "⟨": "langle", "⟩": "rangle", "〈": "langle",
    "〉": "rangle", "…": "ldots", "⋯": "cdots", "∴": "therefore", "✓": "checkmark", "✔": "checkmark",
    "✅": "checkmark", "☑": "checkmark", "■": "blacksquare", "∎": "blacksquare",
    "ℝ": "mathbb{R}", "ℕ": "mathbb{N}", "ℤ": "mathbb{Z}", "ℚ": "mathbb{Q}", "ℂ": "mathbb{C}",
}  # fmt: skip
_TEXTS = {
    **dict.fromkeys("−–—‐‑‒﹣", "-"), **dict.fromkeys("∕⁄", "/"), "∗": "*", "∣": "|", "º": "°", "˚": "°", "℃": "°C",
    **dict.fromkeys("‘’′", "'"), **dict.fromkeys("“”″", '"'), **dict.fromkeys("、､", ","), **dict.fromkeys("。｡", "."),
    **dict.fromkeys("【〔", "["), **dict.fromkeys("】〕", "]"), "ⅇ": "e", "ⅈ": "i",
    "㎜": "\\text{ mm}", "㎝": "\\text{ cm}", "㎞": "\\text{ km}", "㎎": "\\text{ mg}", "㎏": "\\text{ kg}",
    "㎟": "\\text{ mm}^2", "㎠": "\\text{ cm}^2", "㎡": "\\text{ m}^2", "㎢": "\\text{ km}^2",
    "㎣": "\\text{ mm}^3", "㎤": "\\text{ cm}^3", "㎥": "\\text{ m}^3",
    "\ufe0e": "", "\ufe0f": "",  # they choose between the plain and the coloured form of an emoji
}  # fmt: skip
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱ", "0123456789+-=()ni")
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₙᵢₖₘ", "0123456789+-=()nikm")
_RAISED_RUN = re.compile(f"[{''.join(map(chr, _RAISED))}]+")
_LOWERED_RUN = re.compile(f"[{''.join(map(chr, _LOWERED))}]+")
_SMALL_FRACTION = re.compile(f"({_RAISED_RUN.pattern})[⁄/]({_LOWERED_RUN.pattern})")
_ENTITY = re.compile(r"&(?:#[0-9]{1,6}|#x[0-9a-fA-F]{1,5}|[a-zA-Z]{2,8});|<nbsp>")
_SPECIAL = re.compile(r"[^\x00-\x7f]")
_ROOT_NAME = re.compile(r"(?<![a-zA-Z\\])sqrt(?=\s*\()|√")
_ROOT = re.compile(
    r"(?P<sign>[√∛∜])\s*(?:\((?P<inside>[^()]*)\)|\{(?P<braced>[^{}]*)\}|(?P<number>[0-9]+(?:\.[0-9]+)?|[a-zA-Z])"
    r"|(?P<command>\\[a-zA-Z]+)\s*(?![{\[a-zA-Z])|(?P<fraction>\\frac\{[^{}]*\}\{[^{}]*\}))"
)
_POWER = re.compile(r"\^\s*(\\frac\{[^{}]*\}\{[^{}]*\})")
_DEGREE_OF_ROOT = {"√": "", "∛": "[3]", "∜": "[4]"}
MAX_NESTED_ROOTS = 4


def latex_characters(text: str) -> str:
    """The text with LaTeX commands and ASCII characters for HTML entities and for the Unicode characters known here."""
    text = _ENTITY.sub(lambda entity: " " if entity[0] == "<nbsp>" else html.unescape(entity[0]), text)
    if not text.isascii():
        text = _SMALL_FRACTION.sub(
            lambda pair: f"\\frac{{{pair[1].translate(_RAISED)}}}{{{pair[2].translate(_LOWERED)}}}", text
        )
        text = _RAISED_RUN.sub(lambda run: f"^{{{run[0].translate(_RAISED)}}}", text)
        text = _LOWERED_RUN.sub(lambda run: f"_{{{run[0].translate(_LOWERED)}}}", text)
        text = _POWER.sub(r"^{\1}", _SPECIAL.sub(lambda char: _latex(char[0]), text))
    return _with_roots(text)


def _latex(char: str) -> str:
    """One character that is not ASCII."""
    if char in _TEXTS:
        return _TEXTS[char]
    if char in _COMMANDS:
        return f"\\{_COMMANDS[char]} "
    category = unicodedata.category(char)
    if category == "Nd":
        return str(unicodedata.digit(char))
    if category == "Zs":
        return " "
    plain = unicodedata.normalize("NFKC", char)
    if category == "No" and "⁄" in plain:
        above, below = plain.split("⁄")
        return f"\\frac{{{above}}}{{{below}}}" if below else char
    if "\uff01" <= char <= "\uff5e" or "\ufe50" <= char <= "\ufe6b":  # full-width and small forms
        return plain
    if "\U0001d400" <= char <= "\U0001d7ff":  # letters in bold, italic and other styles
        return plain if plain.isascii() else _latex(plain)
    return char


def _with_roots(text: str) -> str:
    """`√(x+1)`, `sqrt(x+1)` -> \\sqrt{x+1}."""
    text = _ROOT_NAME.sub("√", text)
    for _ in range(MAX_NESTED_ROOTS):
        before, text = text, _ROOT.sub(_root, text)
        if text == before:
            break
    return text


def _root(match: re.Match[str]) -> str:
    inside = next(part for part in match.groups()[1:] if part is not None)
    return f"\\sqrt{_DEGREE_OF_ROOT[match['sign']]}{{{inside}}}"
