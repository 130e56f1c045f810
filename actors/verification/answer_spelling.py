r"""Normalizes the spelling and the notations of LaTeX answers, and splits them into parts and sides."""

import re

_SPELLINGS = [
    (re.compile(r"\s+"), " "),  # first, because the time of other patterns is quadratic in spaces
    (re.compile(r"(?<!\\)\$|(?<!\\)\\[!$]|\\displaystyle(?![a-zA-Z])"), ""),
    (re.compile(r"\\(?:left|right|[bB]igg?[lr]?)(?![a-zA-Z])\s*"), ""),
    (re.compile(r"\\[dtc]frac(?![a-zA-Z])"), r"\\frac"),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"(?<!\\)(?P<rows>(?:\\\\)*)(?:\\[,;: ]|~|\\q?quad(?![a-zA-Z]))"), r"\g<rows> "),  # `\\ ` ends a row
    (re.compile(r"\u2212"), "-"),
    (re.compile(r"\s*\^\s*(?:\\prime(?![a-zA-Z])|\{\s*\\prime\s*\})"), "'"),
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


_EXPLICIT_GROUPS = re.compile(
    r"(?<![0-9.,}])([+-]?[0-9]{1,3})((?:(?:\{,\}|,\\! ?|\\!,|\\[,;: ]|~|[ \u00a0\u2009\u202f])[0-9]{3})+)(?![0-9])"
)
_SCIENTIFIC = re.compile(r"(?<![0-9a-zA-Z.\\_^{])([0-9]+\.[0-9]*|[0-9]+)([eE])([+-]?[0-9]{1,4})(?![0-9a-zA-Z.])")
_LITERAL = re.compile(r"(?<![0-9a-zA-Z.\\_^])0(?:x[0-9a-fA-F]{1,32}|o[0-7]{1,32}|b[01]{1,64})(?![0-9a-zA-Z.])")
_MIXED = re.compile(r"(?<![0-9./,])([0-9]{1,6}) ([0-9]{1,6})\s*/\s*([0-9]{1,6})(?![0-9./])")
_CURRENCIES = {
    "\\$": "dollar", "USD": "dollar", "\u00a2": "cent", "\u20ac": "euro", "EUR": "euro", "\u00a3": "gbp",
    "\\pounds": "gbp", "GBP": "gbp", "\u00a5": "yen", "\u20b9": "rupee", "Rs": "rupee", "Rs.": "rupee",
}  # fmt: skip
_SIGNS = "\u20ac\u00a3\u00a5\u20b9\u00a2"
_CURRENCY_NAME = rf"(?P<{{}}>\\\$|\\pounds(?![a-zA-Z])|[{_SIGNS}]|(?:USD|EUR|GBP|Rs\.?)(?![a-zA-Z]))"
_CURRENCY = re.compile(
    rf"\A\s*(?P<sign>[+-]?)\s*(?:\\text\s*\{{\s*{_CURRENCY_NAME.format('styled')}\s*\}}|{_CURRENCY_NAME.format('bare')})"
    r"\s*(?P<amount>-?[0-9][0-9,. ]*)\Z"
)
_CURRENCY_LAST = re.compile(rf"(?<=[0-9])\s*(?:\\text\s*\{{\s*([{_SIGNS}])\s*\}}|([{_SIGNS}]))\s*\Z")
_OVER = re.compile(
    r"(?:(?<![\^_])\{|\A)\s*((?:[^{}\\]|\\[a-z]+(?![a-z])|\{[^{}]*\}){1,60}?)\s*\\over(?![a-zA-Z])\s*"
    r"((?:[^{}\\]|\\[a-z]+(?![a-z])|\{[^{}]*\}){1,60}?)\s*(?:\}|\Z)"
)
_CHOOSE = re.compile(r"(?:\{|\A)\s*([^{}\\]{1,40}?)\s*\\choose\s+([^{}\\]{1,40}?)\s*(?:\}|\Z)")
_SYSTEM = re.compile(
    r"(?:\\\{\s*)?\\begin\s*\{(?P<name>cases|aligned|array|align\*?)\}(?:\{[clr|\s]*\})?"
    r"(?P<rows>(?:(?!\\begin|\\end).)*)\\end\s*\{(?P=name)\}\s*\.?",
    re.DOTALL,
)
_NO_SOLUTION = r"(?:there (?:is|are) )?no (?:real )?solutions?|(?:the )?(?:empty|null) set"
_SYNONYMS = [
    (re.compile(r"\\lbrace(?![a-zA-Z])"), r"\\{"),
    (re.compile(r"\\rbrace(?![a-zA-Z])"), r"\\}"),
    (re.compile(r"(?<=\\circ\})\{(\\(?:text|mathrm)\s*\{[^{}]*\})\}"), r"\1"),
    (re.compile(r"(?<=[0-9])\s*(?:\\text\s*\{\s*to\s*\}|to)\s*(?=[0-9])"), ":"),
    (re.compile(r"\\langle(?![a-zA-Z])"), "("),
    (re.compile(r"\\rangle(?![a-zA-Z])"), ")"),
    (re.compile(r"\\[dt]binom(?![a-zA-Z])"), r"\\binom"),
    (re.compile(r"(?<![a-zA-Z\\])C\(([0-9]{1,6}),\s*([0-9]{1,6})\)"), r"\\binom{\1}{\2}"),
    (re.compile(r"(?:\{\})?(?:\^|_)\{?([0-9]{1,6})\}?\s*C_\{?([0-9]{1,6})\}?"), r"\\binom{\1}{\2}"),
    (re.compile(r"\u2205|\\\{\s*\\\}"), r"\\emptyset"),
    (re.compile(rf"\\text\s*\{{\s*(?:{_NO_SOLUTION})\s*\}}|\A(?:{_NO_SOLUTION})\Z", re.IGNORECASE), r"\\emptyset"),
    (re.compile(r"\\varnothing(?![a-zA-Z])"), r"\\emptyset"),
    (re.compile(r"\\bigcup(?![a-zA-Z])|(?<=[)\]}])\s*U\s*(?=[(\[\\])"), r"\\cup "),
    (re.compile(r"\\text\s*\{\s*infinity\s*\}", re.IGNORECASE), r"\\infty"),
    (re.compile(r"\\log_\s*(?:\{\s*e\s*\}|e(?![a-zA-Z]))"), r"\\ln "),
    (re.compile(r"\A((?:[^=<>,;a-zA-Z\\]|\\[a-zA-Z]+)+)=\s*([a-df-hj-zA-Z])\Z"), r"\2=\1"),
    (re.compile(r"\\(?:times|ast)(?![a-zA-Z])|\*"), r"\\cdot "),
    (re.compile(r"(?<=[,(\[])\s*\+\s*\\infty"), r"\\infty"),
    (re.compile(r"\\lg(?![a-zA-Z])"), r"\\log "),
    (
        re.compile(r"\A(?:\\mathbb\s*\{?\s*R\s*\}?|\\R|(?:\\text\s*\{\s*)?(?:all )?real numbers\s*\}?)\Z"),
        r"(-\\infty,\\infty)",
    ),
    (
        re.compile(
            r"\A\\\{\s*([a-z])\s*(?:\\in\s*\(-\\infty,\\infty\)|\\in\s*(?:\\mathbb\s*\{?R\}?|\\R))?\s*"
            r"(?:\\mid(?![a-z])|\\colon|[|:])\s*([^|:]*(?:[<>]|\\[lgn]eq?(?![a-z]))[^|:]*)\\\}\Z"
        ),
        r"\2",
    ),
    (re.compile(r"\s*\\colon(?![a-zA-Z])\s*"), ":"),
    (re.compile(r"\s+"), " "),
]


def canonical(latex: str, euler: bool = True) -> str:
    r"""The cleaned answer in uniform notations: 1{,}000 and 1\,000 -> 1000, 1e-07 -> 10^{-7}, 0x10 -> 16, 3 1/2.

    2e-3 remains if `euler`, because it may be twice Euler's number minus three.
    """
    latex = re.sub(r"\s+", " ", latex)
    latex = _EXPLICIT_GROUPS.sub(lambda number: number[1] + re.sub(r"[^0-9]", "", number[2]), latex)
    latex = _CURRENCY_LAST.sub(_currency, _CURRENCY.sub(_price, latex))
    latex = cleaned(_OVER.sub(r"\\frac{\1}{\2}", _CHOOSE.sub(r"\\binom{\1}{\2}", latex)))
    if system := _SYSTEM.fullmatch(latex):
        latex = _listed(system[0], system["rows"])
    latex = _SCIENTIFIC.sub(lambda number: _power_of_ten(number, euler), latex)
    latex = _LITERAL.sub(lambda literal: str(int(literal[0], 0)), latex)
    latex = _MIXED.sub(_mixed_number, latex)
    for pattern, spelling in _SYNONYMS:
        latex = pattern.sub(spelling, latex)
    return latex.strip()


def _price(price: re.Match[str]) -> str:
    return f"{price['sign']}{price['amount']}\\text{{ {_CURRENCIES[price['styled'] or price['bare']]}}}"


def _currency(sign: re.Match[str]) -> str:
    return f"\\text{{ {_CURRENCIES[sign[1] or sign[2]]}}}"


def _listed(latex: str, rows: str) -> str:
    r"""`\begin{cases} x=1 \\ y=2 \end{cases}` -> `x=1, y=2`; the text itself if a row is no equation."""
    equations = [re.sub(r"&\s*=", "=", row).strip(" ,;.") for row in re.split(r"\\\\(?:\[[^\]]*\])?", rows)]
    equations = [equation for equation in equations if equation]
    return ", ".join(equations) if all(re.fullmatch("[^&=]+=[^&=]+", each) for each in equations) else latex


def has_euler(latex: str) -> bool:
    """Whether the text has a letter e alone."""
    return bool(re.search(r"(?<![a-zA-Z\\])e(?![a-zA-Z])", latex))


def _power_of_ten(number: re.Match[str], euler: bool) -> str:
    mantissa, sign, exponent = number.groups()
    if euler and sign == "e" and re.fullmatch(r"-[1-9]", exponent) and mantissa != "1" and "." not in mantissa:
        return number[0]
    power = f"10^{{{int(exponent)}}}"
    return power if mantissa == "1" else f"{mantissa.rstrip('.')}\\cdot {power}"


def _mixed_number(number: re.Match[str]) -> str:
    whole, above, below = number.groups()
    return f"{whole}\\frac{{{above}}}{{{below}}}" if int(above) < int(below) else number[0]


_FORCED = re.compile(r"[a-zA-Z] (?=[a-zA-Z])|[0-9] (?=[0-9])")
_ONE_IN_BRACES = re.compile(r"(\^|_|\\sqrt ?)\{([0-9a-zA-Z])\}")


def same_text(first: str, second: str) -> bool:
    """Whether two answers differ only in spaces and in braces around one character."""
    return _tight(first) == _tight(second)


def _tight(latex: str) -> str:
    latex = _FORCED.sub(lambda pair: pair[0][0] + "\0", latex).replace(" ", "").replace("\0", " ")
    return _ONE_IN_BRACES.sub(r"\1\2", latex)


_THOUSANDS = re.compile(r"([+-]?[0-9]{1,3}(?:([ ,])[0-9]{3})(?:\2[0-9]{3})*)(\.[0-9]+)?(?![0-9])")


def joined_thousands(answer: str) -> str:
    """1,000 and 1 000 -> 1000, if the answer begins with such a number and has no other comma."""
    match = _THOUSANDS.match(answer)
    if not match or "," in answer[match.end() :]:
        return answer
    return re.sub("[ ,]", "", match[1]) + (match[3] or "") + answer[match.end() :]


_RELATION = re.compile(r"(?<![\\<>!:=])=|\\(?:approx|equiv|implies|iff|(?:long|Long)?(?:r|R)ightarrow|to)(?![a-zA-Z])")
SUBSCRIPT = re.compile(r"_\s*(?:\{[^{}]*\}|[a-zA-Z0-9])")
ARGUMENTS = re.compile(r"(?<=[a-zA-Z}'])\s*\([^()]*\)")
_JOINING = r"(?:\\text\s*\{\s*[,;]?\s*(?:and|or)\s*\}|(?<![a-zA-Z\\])(?:and|or)(?![a-zA-Z])|\\(?:lor|vee)(?![a-zA-Z]))"
_SEPARATOR = re.compile(rf"\\[{{}}]|[,;]\s*{_JOINING}|[()\[\]{{}},;]|{_JOINING}")


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
    """The sides of a chain of relations: `f(x)=2x` has two. A relation in a subscript or an argument does not count."""
    masked = latex
    for pattern in (SUBSCRIPT, ARGUMENTS):
        masked = pattern.sub(lambda inside: " " * len(inside[0]), masked)
    sides, start = [], 0
    for relation in _RELATION.finditer(masked):
        sides.append(latex[start : relation.start()].strip())
        start = relation.end()
    return [*sides, latex[start:].strip()]


_DOMAIN = re.compile(
    r"(?P<value>(?:(?!\\in(?![a-zA-Z])).)+?)"
    r"\s*(?:,|,?\s*\\text\s*\{\s*(?:,|(?:for|where|with)\b)[a-z ]*\}|,?\s*\\forall(?![a-zA-Z])|\()\s*"
    r"(?P<domain>[a-zA-Z]\s*\\in\s*\\mathbb\s*\{?\s*[A-Z]\s*\}?(?:[\^_](?:[+*0]|\{[^{}]*\}))?)\s*\)?",
    re.DOTALL,
)


def split_domain(latex: str) -> tuple[str, str]:
    r"""(value, set of its variable at the end): `2k\pi, k \in \mathbb{Z}` -> (`2k\pi`, `k\in\mathbbZ`)."""
    match = _DOMAIN.fullmatch(latex)
    return (match["value"], re.sub(r"[\s{}]", "", match["domain"])) if match else (latex, "")


_LETTER = re.compile(r"\\[a-zA-Z]+|([a-zA-Z])")
_FREE_CONSTANT = re.compile(r"\+\s*[cC]\Z")


def swaps_case(reference: str, answer: str) -> bool:
    """Whether the answer has a letter that the reference answer has in the other case only: r for R. +c may be +C."""
    expected, given = (
        {letter for letter in _LETTER.findall(_FREE_CONSTANT.sub("", latex)) if letter} for latex in (reference, answer)
    )
    return any(letter.swapcase() in expected for letter in given - expected)


_CONSTANTS = re.compile(r"\\[a-zA-Z]+|\{|\}|(?<![a-zA-Z])[ei](?![a-zA-Z])")


def has_variable(latex: str) -> bool:
    """Whether the text has a letter other than e and i, outside commands."""
    return bool(re.search("[a-zA-Z]", _CONSTANTS.sub("", latex)))
