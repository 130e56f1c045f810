r"""Splits an answer into its values: lists, sets, tuples, intervals, unions and matrices.

    (1,2)                              tuple or open interval: 1 and 2 in this order
    1,2   1 \text{ and } 2   \{1,2\}   list or set: 1 and 2 in any order
    2 \pm \sqrt{3}                     list: 2+\sqrt{3} and 2-\sqrt{3}
    [1,2)                              interval
    \text{Ann and Bob}                 list
    x<1 \text{ or } x>4                union of the intervals (-\infty,1) and (4,\infty)
    \begin{pmatrix}1\\2\end{pmatrix}   matrix of two rows and one column

A text such as 7,100 is a list of 7 and 100. It is a number if a group of three digits begins with 0 (1,000 and 20,050),
because no number of a list is written 000 or 050.
"""

import re
from dataclasses import dataclass
from typing import Literal

from actors.verification.answer_spelling import canonical, parts
from actors.verification.typography import plain_latex

Kind = Literal["value", "list", "set", "tuple", "interval", "union", "matrix"]


@dataclass(frozen=True)
class Shape:
    """The values of an answer, each as LaTeX."""

    kind: Kind
    items: tuple[str, ...]
    """One item if the kind is "value"; the entries row by row if it is "matrix"."""
    detail: str = ""
    """The brackets of a tuple or interval such as "[)", or the size of a matrix such as "2x3"."""
    variable: str = ""
    """The variable of an inequality, whose solutions are this interval or union."""

    @property
    def is_unordered(self) -> bool:
        return self.kind in ("list", "set", "union")


def has_several_values(reference: str) -> bool:
    """Whether a reference answer is a list, set, tuple or interval of two or more values, a union or a matrix."""
    return len(shape_of(canonical(plain_latex(reference))).items) > 1


def shape_of(latex: str) -> Shape:
    """The outermost shape of a cleaned answer."""
    if (pieces := _split(latex, _UNION)) and len(pieces) > 1:
        return Shape("union", tuple(pieces))
    if solutions := _solutions(latex):
        return solutions
    if names := _NAMES.fullmatch(latex):
        return Shape("list", tuple(f"\\text{{{name}}}" for name in re.split(r",? and |, ?", names[1].strip())))
    if not is_grouped_number(latex) and len(items := parts(latex)) > 1 and all(items):
        return Shape("list", _with_both_signs(items))
    return _bracketed(latex) or _matrix(latex) or _signed(latex)


_GROUPED = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]+)?(?![0-9,])")


def is_grouped_number(latex: str) -> bool:
    """Whether the text is a number with commas between groups of three digits and no list; see the module docstring."""
    match = _GROUPED.match(latex)
    return bool(match and ",0" in match[0] and not re.search("[,;]", latex[match.end() :]))


_NAMES = re.compile(r"\\text\s*\{( ?[A-Z][a-z]+(?:(?:,? and |, ?)[A-Z][a-z]+)+ ?)\}")
_UNION = re.compile(r"\\cup(?![a-zA-Z])")
_SIGN = re.compile(r"\\pm(?![a-zA-Z])")
_BRACKET = re.compile(r"\\[{}]|[()\[\]{}]")


def _split(latex: str, separator: re.Pattern[str]) -> list[str]:
    """The text between the separators outside of brackets."""
    found, start = [], 0
    depths = _depths(latex)
    for match in separator.finditer(latex):
        if depths[match.start()] == 0:
            found.append(latex[start : match.start()].strip())
            start = match.end()
    return [*found, latex[start:].strip()]


def _depths(latex: str) -> list[int]:
    """The number of open brackets at each character."""
    depths, depth, position = [], 0, 0
    for bracket in _BRACKET.finditer(latex):
        depths += [depth] * (bracket.start() - position)
        position = bracket.start()
        depth += 1 if bracket[0][-1] in "([{" else -1
    return depths + [depth] * (len(latex) - position)


def _signed(latex: str) -> Shape:
    values = _with_both_signs([latex])
    return Shape("list" if len(values) > 1 else "value", values)


def _with_both_signs(items: list[str]) -> tuple[str, ...]:
    r"""The items, with two in place of each that has one \pm."""
    values: list[str] = []
    for item in map(str.strip, items):
        if len(_SIGN.findall(item)) == 1:
            values += [_SIGN.sub(sign, item).removeprefix("+").strip() for sign in ("+", "-")]
        else:
            values.append(item)
    return tuple(values)


_OPENED = re.compile(r"\\?([(\[{])\s*")
_CLOSED = re.compile(r"\s*\\?([)\]}])\Z")


def _bracketed(latex: str) -> Shape | None:
    """The shape of a text in one pair of brackets; None if it has none or one value in parentheses."""
    opened, closed = _OPENED.match(latex), _CLOSED.search(latex)
    if not opened or not closed or opened.end() > closed.start():
        return None
    inside = latex[opened.end() : closed.start()]
    if min(_depths(inside + " ")) < 0:
        return None
    items = tuple(map(str.strip, parts(inside)))
    brackets = opened[1] + closed[1]
    if brackets == "{}" and not re.search(r"[|:]|\\(?:mid|colon)(?![a-zA-Z])", inside):
        return Shape("set", _with_both_signs(list(items)) if inside else ())
    if len(items) < 2 or not all(items):
        return None
    if brackets == "()" or (brackets == "[]" and len(items) > 2):
        return Shape("tuple", items, "()")
    return Shape("interval", items, brackets) if brackets in ("[]", "[)", "(]") and len(items) == 2 else None


_MATRIX = re.compile(
    r"\\begin\s*\{(?P<name>[pbB]?matrix|smallmatrix|array)\}(?:\{[clr|\s]*\})?(?P<body>(?:(?!\\begin|\\end).)*)"
    r"\\end\s*\{(?P=name)\}",
    re.DOTALL,
)


def _matrix(latex: str) -> Shape | None:
    """The shape of a matrix or vector in any brackets but bars, which mean its determinant."""
    match = _MATRIX.search(latex)
    if not match or (latex[: match.start()].strip(), latex[match.end() :].strip()) not in (
        ("", ""),
        ("(", ")"),
        ("[", "]"),
    ):
        return None
    body = re.sub(r"\\hline|\\\\(?:\[[^\]]*\])?", lambda word: "\\\\" if word[0][1] == "\\" else "", match["body"])
    rows = [row.split("&") for row in body.split("\\\\")]
    if rows and not "".join(rows[-1]).strip():
        rows.pop()
    if not rows or len({len(row) for row in rows}) > 1:
        return None
    return Shape("matrix", tuple(entry.strip() for row in rows for entry in row), f"{len(rows)}x{len(rows[0])}")


_RELATION = re.compile(r"\\(?:le|ge|leq|geq|leqslant|geqslant|lt|gt|ne|neq)(?![a-zA-Z])|[<>]")
_LESS = {"<": "<", "\\lt": "<", "\\le": "<=", "\\leq": "<=", "\\leqslant": "<="}
_GREATER = {">": "<", "\\gt": "<", "\\ge": "<=", "\\geq": "<=", "\\geqslant": "<="}
_VARIABLE = re.compile(r"[a-df-hj-zA-Z]|\\(?:alpha|beta|gamma|theta|lambda|mu|omega)")
_OR = re.compile(r"\\text\s*\{\s*or\s*\}|(?<![a-zA-Z\\])or(?![a-zA-Z])|\\(?:lor|vee)(?![a-zA-Z])")

_AND = re.compile(r"\\text\s*\{\s*and\s*\}|(?<![a-zA-Z\\])and(?![a-zA-Z])|\\(?:land|wedge)(?![a-zA-Z])")


def _solutions(latex: str) -> Shape | None:
    """The solutions of inequalities in one variable, joined by "or"; None for any other text."""
    if not _RELATION.search(latex):
        return None
    found = [_between(_split(part, _AND)) for part in _split(latex, _OR)]
    if not all(found) or len({variable for _, variable in filter(None, found)}) > 1:
        return None
    pieces = [piece for pieces, _ in filter(None, found) for piece in pieces]
    variable = found[0][1] if found[0] else ""
    if len(pieces) > 1:
        return Shape("union", tuple(pieces), variable=variable)
    shape = _bracketed(pieces[0])
    return shape and Shape("interval", shape.items, shape.detail, variable)


def _between(bounds: list[str]) -> tuple[list[str], str] | None:
    r"""The solutions of one inequality, or of a lower and an upper bound: `x>3`, `x\le 5` -> (["(3,5]"], "x")."""
    found = [_interval(bound) for bound in bounds]
    if len(found) == 1:
        return found[0]
    if len(found) != 2 or not found[0] or not found[1] or found[0][1] != found[1][1]:
        return None
    if len(found[0][0]) != 1 or len(found[1][0]) != 1:
        return None
    (above,), (below,) = sorted([found[0][0], found[1][0]], key=lambda pieces: pieces[0].startswith("(-\\infty,"))
    if not above.endswith(",\\infty)") or not below.startswith("(-\\infty,"):
        return None
    return [above.removesuffix("\\infty)") + below.removeprefix("(-\\infty,")], found[0][1]


def _interval(inequality: str) -> tuple[list[str], str] | None:
    r"""(intervals, variable): `-1<x\le 4` -> (["(-1,4]"], "x")."""
    relations = _RELATION.findall(inequality)
    sides = [side.strip() for side in _RELATION.split(inequality)]
    if not all(sides) or any("," in side or "=" in side for side in sides):
        return None
    if len(sides) == 2 and relations[0] in ("\\ne", "\\neq") and _VARIABLE.fullmatch(sides[0]):
        return [f"(-\\infty,{sides[1]})", f"({sides[1]},\\infty)"], sides[0]
    if all(relation in _GREATER for relation in relations):
        sides, relations = sides[::-1], [_GREATER[relation] for relation in reversed(relations)]
    elif all(relation in _LESS for relation in relations):
        relations = [_LESS[relation] for relation in relations]
    else:
        return None
    if len(sides) == 2 and _VARIABLE.fullmatch(sides[0]) and not _VARIABLE.fullmatch(sides[1]):
        sides, relations = ["-\\infty", *sides], ["<", *relations]
    elif len(sides) == 2 and _VARIABLE.fullmatch(sides[1]):
        sides, relations = [*sides, "\\infty"], [*relations, "<"]
    if len(sides) != 3 or not _VARIABLE.fullmatch(sides[1]):
        return None
    opening, closing = ("(" if relations[0] == "<" else "["), (")" if relations[1] == "<" else "]")
    return [f"{opening}{sides[0]},{sides[2]}{closing}"], sides[1]
