r"""Writes the numbers of a text in digits, so that "twelve", "१२" and "十二" are all found as 12. Pure.

Spoken numbers are English ("twenty-one", "one hundred and five", "a dozen"), and so are fractions ("one half", "three
quarters", "two-thirds"); numerals are those of every script with decimal digits, and Chinese ones. Vulgar fractions
become \frac{1}{2}, \frac12 as well, superscripts ^{2}, and signs such as √ and π their LaTeX commands. Degree signs,
styles around numbers such as \mathbf{7}, and separators as in 1\,000 are left out.
"""
# ruff: noqa: RUF001 - the characters of other scripts are meant

import re
import unicodedata

_ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_ORDINALS = [
    "zeroth", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth",
    "nineteenth",
]
_VALUE = (
    {word: value for value, word in enumerate(_ONES)}
    | {word: value for value, word in enumerate(_ORDINALS) if value > 9}  # the others count steps: "the first case"
    | {word: 10 * value for value, word in enumerate(_TENS, start=2)}
    | {word[:-1] + "ieth": 10 * value for value, word in enumerate(_TENS, start=2)}
)
_SCALE = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "dozen": 12}
_PARTS = {"half": 2, "halves": 2, "quarter": 4, "third": 3} | {
    word: value for value, word in enumerate(_ORDINALS) if value > 3
}
_PARTS |= {word + "s": value for word, value in _PARTS.items() if word not in ("half", "halves")}

_WORD = "|".join(sorted({*_VALUE, *_SCALE}, key=len, reverse=True))
_AND = r"(?:(?<=hundred)|(?<=thousand)|(?<=million))\s+and\s+"
_NUMBER = rf"(?:an?\s+(?={'|'.join(_SCALE)}))?(?:{_WORD})(?:(?:\s*-\s*|{_AND}|\s+)(?:{_WORD}))*"
_SPOKEN = re.compile(rf"(?<![\w\\])(?!one\s+of\b)(?:{_NUMBER})(?!\w)", re.IGNORECASE)
_FRACTION = re.compile(
    rf"(?<![\w\\])(?:(?P<count>an?|[0-9]+|{'|'.join(_ONES[1:])})(?:\s+|\s*-\s*))?(?P<part>{'|'.join(_PARTS)})(?![\w-])",
    re.IGNORECASE,
)
_CHINESE_DIGITS = {char: value for value, char in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_CHINESE_UNITS = {"十": 10, "百": 100, "千": 1000}
_CHINESE = re.compile("[零〇一二两三四五六七八九十百千万]+")
_BRACELESS = re.compile(r"(\\[dtc]?frac)\s*([0-9])\s*([0-9])(?![0-9])|(\\sqrt)\s*([0-9](?![0-9])|(?<= )[0-9]+)")
_SIGNS = {"√": r"\sqrt ", "π": r"\pi ", "×": r"\times ", "·": r"\cdot ", "−": "-", "∞": r"\infty ", "⁄": "/", "∶": ":"}
_SIGNS |= {
    "٫": ".",
    "٬": ",",
    "٪": "%",
    "≈": r"\approx ",
    "≤": r"\le ",
    "≥": r"\ge ",
    "⇒": r"\Rightarrow ",
    "∴": r"\therefore ",
}
_BLANKS = re.compile(r"[^\S\n]{2,}")
_DEGREES = re.compile(r"\s*(?:\^\s*(?:\\circ(?![a-zA-Z])|\{\s*\\circ\s*\})|°|\\degree(?![a-zA-Z])|º)")
_STYLED = re.compile(
    r"\\(?:text(?:bf|it|rm|normal)?|math(?:bf|rm|it|sf)|boldsymbol|bm|mbox|underline)\s*\{([^{}]*[0-9][^{}]*)\}"
)
_THOUSANDS = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?:(?:\\[,!]|\{,\}|,\\!|~|\u00a0|\u202f|\u2009)[0-9]{3})+(?![0-9])")
_SPACED = re.compile(r"(?<=[0-9])\s+(?=[0-9])")
_SUPERSCRIPTS = re.compile("[⁰¹²³⁴-⁹]+")


def in_digits(text: str) -> str:
    """The text with its numbers in ASCII digits and single blanks; all other words are unchanged."""
    text = _THOUSANDS.sub(lambda number: re.sub("[^0-9]", "", number[0]), _DEGREES.sub("", _BLANKS.sub(" ", text)))
    if not text.isascii():
        text = "".join(map(_ascii_digit, text))
        text = _CHINESE.sub(lambda numeral: _chinese(numeral[0]), text)
    text = _FRACTION.sub(_spoken_fraction, text)
    text = _SPOKEN.sub(lambda words: _spoken(words[0]), text)
    text = _BRACELESS.sub(_with_braces, text)
    return _STYLED.sub(lambda styled: f" {_SPACED.sub('', styled[1])} ", text)


def _with_braces(match: re.Match[str]) -> str:
    """\\frac12 -> \\frac{1}{2}, \\sqrt3 -> \\sqrt{3}."""
    return f"{match[1]}{{{match[2]}}}{{{match[3]}}}" if match[1] else f"{match[4]}{{{match[5]}}}"


def _ascii_digit(char: str) -> str:
    if char.isascii():
        return char
    if char in _SIGNS:
        return _SIGNS[char]
    category = unicodedata.category(char)
    if category == "Nd":
        return str(unicodedata.decimal(char))
    if category == "No" and (spelled := unicodedata.normalize("NFKC", char)) != char:
        above, slash, below = spelled.partition("\u2044")  # ½ is 1, fraction slash, 2
        if slash:
            return rf"\frac{{{above}}}{{{below}}}" if below else spelled
        return rf"^{{{spelled}}}" if _SUPERSCRIPTS.match(char) else spelled
    return unicodedata.normalize("NFKC", char) if "\uff00" < char < "\uff5f" else char


def _spoken(words: str) -> str:
    """ "one hundred and twenty-one" -> 121. Words that form no number, such as "one two", stay apart."""
    total, current, last, found = 0, 0, 0, []
    for word in re.split(r"[\s-]+", words.lower()):
        if word in ("and", "a", "an"):
            continue
        if word in _SCALE:
            scale = _SCALE[word]
            if scale in (100, 12):
                current = (current or 1) * scale
            else:
                total, current = total + (current or 1) * scale, 0
            last = scale
        else:
            value = _VALUE[word]
            if last and not (last > value and last >= 20):  # not "twenty one" or "hundred one"
                found.append(total + current)
                total = current = 0
            current += value
            last = value
    return " ".join(map(str, [*found, total + current]))


def _spoken_fraction(match: re.Match[str]) -> str:
    """ "three quarters" -> \\frac{3}{4}. Only "half" and "halves" need no number: "the third" is an ordinal."""
    part, count = match["part"].lower(), (match["count"] or "").lower()
    below = _PARTS[part]
    if not count and not part.startswith("hal"):
        return match[0]
    above = int(count) if count.isdecimal() else _VALUE.get(count, 1)
    return match[0] if above > 1 and not part.endswith("s") else rf"\frac{{{above}}}{{{below}}}"


def _chinese(numeral: str) -> str:
    """一百四十四 -> 144, 二〇二六 -> 2026. A lone 一 or 万 is a word."""
    if len(numeral) == 1 and numeral in "一万千百零〇":
        return numeral
    if not set(numeral) & {*_CHINESE_UNITS, "万"}:
        return "".join(str(_CHINESE_DIGITS[char]) for char in numeral)
    total = section = digit = 0
    for char in numeral:
        if char in _CHINESE_DIGITS:
            digit = _CHINESE_DIGITS[char]
        elif char == "万":
            total, section, digit = total + (section + digit) * 10**4, 0, 0
        else:
            section, digit = section + (digit or 1) * _CHINESE_UNITS[char], 0
    return str(total + section + digit)
