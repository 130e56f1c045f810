r"""Writes the units and scales of other scripts with Latin letters and digits.

12厘米 -> 12\text{ cm}      60度 -> 60^{\circ}      1.5万元 -> 15000\text{ yuan}
"""
# ruff: noqa: RUF001 - letters that look like Latin ones are its subject

import re
from decimal import Decimal

_UNITS = {
    "平方毫米": "mm^2", "平方厘米": "cm^2", "平方分米": "dm^2", "平方米": "m^2", "平方千米": "km^2", "平方公里": "km^2",
    "立方毫米": "mm^3", "立方厘米": "cm^3", "立方分米": "dm^3", "立方米": "m^3",
    "毫米": "mm", "厘米": "cm", "分米": "dm", "米": "m", "千米": "km", "公里": "km",
    "毫克": "mg", "克": "g", "千克": "kg", "公斤": "kg", "吨": "ton", "毫升": "ml", "升": "liter",
    "秒": "second", "分钟": "minute", "小时": "hour", "天": "day", "周": "week", "个月": "month", "年": "year",
    "美元": "dollar", "元": "yuan", "円": "yen", "원": "won", "度": "^{\\circ}",
    "мм": "mm", "см": "cm", "м": "m", "км": "km", "г": "g", "кг": "kg", "руб": "ruble",
    **dict.fromkeys("个個种種次人名位岁只隻条本件棵支枝张辆头页块组对步颗粒把台座朵袋箱盒瓶间間枚개명회", "item"),
}  # fmt: skip
"""Unit -> word in \\text{} and its power. The words for counted things are one unit."""
_NAMES = "|".join(_UNITS)
_QUANTITY = re.compile(
    rf"(?P<value>.*[0-9)}}\]])\s*(?:\\text\s*\{{\s*(?P<styled>{_NAMES})\s*\}}|(?P<bare>{_NAMES}))(?P<end>[\s.,;]*)",
    re.DOTALL,
)
_SCALES = {"百": 2, "千": 3, "万": 4, "萬": 4, "百万": 6, "千万": 7, "亿": 8, "億": 8, "万亿": 12}
"""Word -> its power of ten."""
_SCALED = re.compile(
    r"(?P<before>(?:.*=)?\s*[+-]?)(?P<number>[0-9]{1,12}(?:\.[0-9]{1,12})?)\s*"
    rf"(?P<scale>{'|'.join(sorted(_SCALES, key=len, reverse=True))})(?![米克分])(?P<unit>[^0-9]*)",
    re.DOTALL,
)


def with_latin_unit(text: str) -> str:
    """The text with its last words in Latin letters, if they are a known unit or a scale after a number."""
    if text.isascii():
        return text
    if match := _SCALED.fullmatch(text):
        number = Decimal(match["number"]).scaleb(_SCALES[match["scale"]])
        text = f"{match['before']}{number:f}{match['unit']}"
    if not (match := _QUANTITY.fullmatch(text)):
        return text
    word, caret, power = _UNITS[match["styled"] or match["bare"]].partition("^")
    unit = f"\\text{{ {word}}}{caret}{power}" if word else f"^{power}"
    return f"{match['value']}{unit}{match['end']}"
