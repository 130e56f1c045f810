r"""Splits units and percent signs from answers.

6\text{ cm}^2   6 square centimeters   6\,\mathrm{cm^{2}}    -> ("6", "cm^2")
90^{\circ}   90 \text{ degrees}                               -> ("90", "degree")
"""

import re

_NAMES = {
    "mm": "millimeter millimetre",
    "cm": "centimeter centimetre",
    "dm": "decimeter decimetre",
    "m": "meter metre",
    "km": "kilometer kilometre",
    "in": "inch inche inches",
    "ft": "foot feet",
    "yd": "yard",
    "mi": "mile",
    "s": "sec second",
    "min": "minute",
    "h": "hr hour",
    "mg": "milligram",
    "g": "gram",
    "kg": "kilogram",
    "lb": "pound",
    "oz": "ounce",
    "ml": "milliliter millilitre",
    "l": "liter litre",
    "degree": "deg",
    "year": "yr",
    "dollar": "usd",
    "mi/h": "mph",
    "km/h": "kmh kph",
}
_OTHERS = ("acre", "cent", "day", "gallon", "month", "rad", "radian", "ton", "unit", "week")
_NAME = {name: unit for unit, names in _NAMES.items() for name in (unit, *names.split())} | {n: n for n in _OTHERS}
_KNOWN = "|".join(sorted((name for name in _NAME if len(name) > 1 and "/" not in name), key=len, reverse=True))
_POWER = r"(?:\s*\^\s*(?:-?[0-9]|\{\s*-?[0-9]\s*\}))?"
_WRAPPED = (
    r"\\(?:text(?:rm|bf|it|normal)?|math(?:rm|bf|it|sf)|mbox|operatorname)\s*"
    rf"\{{(?:[^{{}}0-9^]|\^\s*(?:-?[0-9]|\{{\s*-?[0-9]\s*\}}))*\}}{_POWER}"
)
_UNIT = re.compile(
    r"(?P<value>.*(?:[0-9)}\]](?<!\\circ\})|\\pi))\s*(?P<unit>\^\{\\circ\}\s*"
    rf"(?:[CF]|\\(?:text|mathrm)\s*\{{\s*[CF]\s*\}})?|(?:(?<=[0-9])/\s*)?{_WRAPPED}(?:\s*(?:(?:/|\\cdot)\s*)?{_WRAPPED}){{0,3}})",
    re.DOTALL,
)
_UNIT_FRACTION = re.compile(rf"\\frac\s*\{{\s*({_WRAPPED})\s*\}}\s*\{{\s*({_WRAPPED})\s*\}}")
_WORD = rf"(?:(?:sq(?:uare|\.)?|cu(?:bic|\.)?)\s+)?(?:{_KNOWN})s?(?![a-zA-Z]){_POWER}"
_KNOWN_UNIT = re.compile(
    rf"(?P<value>.*[0-9)}}\]a-z])(?<![a-zA-Z]{{2}})\s*(?P<unit>{_WORD}(?:\s*(?:/|per)\s*{_WORD})?)", re.DOTALL
)
_ANY_WORD = rf"(?:[a-zA-Z]{{4,}}|[cmdk]?m|ft|in|[mk]?g|lbs?|hrs?|min|sec|mph|[shL]){_POWER}(?:[ /]|$)"
_NUMBER_WORD = (
    "[\u4e07\u842c\u4ebf\u5104\u5343\u767e\u5341\u5146\u534a\u500d\u5206\u6210"
    "\u6298\u65b9\u591a\u4f59\u4e0d\u6216\u548c]"
)
"""Chinese for ten thousand, hundred million, thousand, hundred, ten, half, times, parts, power, more, not, or, and."""
_BARE_UNIT = re.compile(
    rf"(?P<value>.*(?:[0-9)}}\]]|\\pi))\s*(?P<unit>(?:{_ANY_WORD})+|(?![\u4e00-\u9fff]*{_NUMBER_WORD})[\u4e00-\u9fff]+)",
    re.DOTALL,
)
_NO_UNIT = re.compile(
    r"\b(?:and|or|to|mod|plus|minus|(?<!left )over|choose|percent|half|dozen|hundred|thousand|[mbtr]+illion|squared"
    r"|cubed|factorial|sqrt|sinh?|cosh?|tanh?|infty|than|wrong|not|maybe|perhaps|possibly|probably|if|for|where|when)\b"
    r"|\btimes\s+(?!(?:as|more|less|the)\b)[a-z0-9]"  # `13 times` is a quantity, `13 times seven` a product
)
PERCENT = re.compile(
    r"(?P<value>.*?)\s*(?:\\?%|\bpercent(?:age)?|\\(?:text|mathrm)\s*\{\s*(?:percent|\\?%)\s*\})"
    r"(?:\s*\\text\s*\{\s*(?:off?|more|less|increase|decrease|profit|loss|discount|chance)\b[a-z ]*\})?",
    re.DOTALL,
)


ANGLE_FUNCTION = re.compile(r"\\?(?<![a-zA-Z])(?:sin|cos|tan|cot|sec|csc)(?![a-zA-Z])")
_DEGREES = re.compile(
    r"(?P<angle>[0-9]+(?:\.[0-9]+)?|\\frac\s*\{[^{}]*\}\s*\{[^{}]*\}|\([^()]*\)|\\[a-z]+|[a-zA-Z])\^\{\\circ\}"
)


def in_radians(latex: str) -> str:
    r"""\cos 20^{\circ} -> \cos (\frac{20}{180}\pi). Degrees outside of these functions remain."""
    if not ANGLE_FUNCTION.search(latex):
        return latex
    return _DEGREES.sub(lambda degrees: f"(\\frac{{{degrees['angle']}}}{{180}}\\pi)", latex)


def split_unit(latex: str, bare: bool = False) -> tuple[str, str]:
    r"""(value, unit in a uniform spelling).

    Units outside of \text are recognised if they are known ones of two letters or more, and if `bare`, any words.
    """
    if PERCENT.fullmatch(latex) or (ANGLE_FUNCTION.search(latex) and "^{\\circ}" in latex):
        return latex, ""
    latex = _UNIT_FRACTION.sub(r"\1/\2", latex)
    match = _UNIT.fullmatch(latex) or _KNOWN_UNIT.fullmatch(latex) or (_BARE_UNIT.fullmatch(latex) if bare else None)
    if not match or _NO_UNIT.search(match["unit"].lower()) or not (unit := uniform_unit(match["unit"])):
        return latex, ""
    return match["value"].strip(), unit


_COMMAND = re.compile(r"\\(?:text(?:rm|bf|it|normal)?|math(?:rm|bf|it|sf)|mbox|operatorname)")
_AREA = re.compile(r"\b(?:sq(?:uare)?|(cu(?:bic)?))\b\.?\s*([a-z]+)")


def uniform_unit(unit: str) -> str:
    r"""`\text{ sq. meters}` -> `m^2`, `\mathrm{km}/\mathrm{hr}` -> `km/h`, `\text{ apples}` -> `apple`."""
    text = _COMMAND.sub(" ", unit.replace("^{\\circ}", " degree ")).replace("\\cdot", " ").lower()
    text = re.sub(r"\s*\^\s*", "^", re.sub(r"[{}()]", "", text)).strip(" .")
    text = re.sub(r"\s*/\s*|\s+per\s+", "/", text)
    text = _AREA.sub(lambda area: f"{area[2]}^{3 if area[1] else 2}", text)
    text = re.sub(r"[a-z]+", lambda word: _uniform_name(word[0]), " ".join(text.split()))
    return re.sub(r" ([a-z]+)\^-([0-9])", r"/\1^\2", text).replace("^1", "")


def _uniform_name(name: str) -> str:
    if name in _NAME:
        return _NAME[name]
    singular = name.removesuffix("s") if len(name) > 2 else name
    return _NAME.get(singular, singular)
