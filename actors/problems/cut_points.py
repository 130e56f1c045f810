"""Finds the positions at which a solution may be cut: after a step, paragraph or sentence, not inside LaTeX or code.

Sentences of every script end here: at . ! ? before a blank and a word that begins with no small letter, and at the full
stops of Chinese, Japanese, Hindi, Arabic, Urdu, Armenian, Amharic and Burmese.
"""
# ruff: noqa: RUF001 - the characters of other scripts are meant

import re

_PROTECTED = re.compile(
    r"""
      ```.*?(?:```|\Z)
    | \[asy\] .*? (?:\[/asy\]|\Z)
    | \\begin\{(?P<env>[A-Za-z]+\*?)\} .*? \\end\{(?P=env)\}
    | (?<!\\)\$\$ .*? (?<!\\)\$\$
    | (?<!\\)\$ (?: (?!\n[ \t]*\n) [^$\\] | \\. )*? \$     # inline: it cannot span a blank line
    | (?<!\\)\\\[ .*? \\\]
    | (?<!\\)\\\( .*? \\\)
    | \\(?:boxed|fbox|text[a-z]*)\s*\{ [^{}]* (?: \{ [^{}]* (?: \{[^{}]*\} [^{}]* )* \} [^{}]* )* \}
    """,
    re.DOTALL | re.VERBOSE,
)
"""LaTeX and code that must not be cut."""
_BRACKETS = re.compile(r"\\(?:begin|end)\{[A-Za-z]+\*?\}|\[/?asy\]")
_LINE_END = re.compile(r"[ \t\u3000]*\n\s*")
_CLOSING = r"""[)"'*\]”’»）】」』〉》]*"""
_SENTENCE_END = re.compile(
    rf"""
    (?<!\.) (?: [.!?…] {_CLOSING} | [.!?] \s* (?:\$\$?|\\\]|\\\)) ) (?= \s+ ["'(*¿¡“‘„«（「『]* (?P<next>\S) )
    """,
    re.VERBOSE,
)
_FULL_STOP = re.compile(rf"[。！？｡．।॥؟۔։።၊။]{_CLOSING}(?=\s*[^\s。！？｡．])")
"""Full stops that are nothing else and need no blank after them."""
_ABBREVIATION = re.compile(
    r"(?:^|[\s(~.])(?:e\.g|i\.e|cf|vs|resp|viz|approx|fig|figs|eq|eqs|no|nos|thm|prop|def|sec|ch|pp?|st|mr|mrs|dr|z\.b|d\.h"
    r"|bzw|bspw|рис|см|стр|напр|[^\W\d_])$",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"(?:^|\n)[\s*#]*(?:(?:case|step|part|claim|solution|method)\s*)?\(?(?:[0-9]{1,2}|[a-z]|[ivx]+)$", re.IGNORECASE
)
_OPEN_END = re.compile(
    r"(?:[-,:;(=+<>&/~，、：；（،؛]|\\(?:le|ge|cdot|times|to|implies|Rightarrow|Longrightarrow|and|or|qquad|quad))\s*$"
)
_CONTINUES = re.compile(r"[,.;:)=+<>&，。、；：）،؛।]|\\(?:implies|Rightarrow|Longrightarrow|iff|le|ge|to)\b")
_DISPLAY = re.compile(r"\$|\\\[|\\\(|\\begin")


def boundaries(solution: str) -> list[int]:
    """Indices at which a step, paragraph or sentence ends, ascending; the last is the length of the text."""
    ends = {match.end() for match in _LINE_END.finditer(solution) if _ends_step(solution, *match.span())}
    ends |= {match.end() for match in _SENTENCE_END.finditer(solution) if _ends_sentence(solution, match)}
    ends |= {match.end() for match in _FULL_STOP.finditer(solution)}
    return sorted({*_unprotected(solution, ends), len(solution)})


def _ends_step(solution: str, start: int, stop: int) -> bool:
    """Whether the line that ends at `start` ends a step: the next line neither continues it nor has its formula."""
    before, after = solution[max(0, start - 200) : start], solution[stop : stop + 30]
    if not after or _OPEN_END.search(before) or _CONTINUES.match(after) or after[0].islower():
        return False
    if before[-1:] == after[0] == "|":  # between two rows of a table
        return False
    return not (before[-1:].isalpha() and _DISPLAY.match(after))


def _ends_sentence(solution: str, end: re.Match[str]) -> bool:
    """Whether a sentence ends: a word without a small first letter follows, and no abbreviation or label precedes."""
    following = end["next"]
    if following not in "$\\" and (following.islower() or not following.isalpha()):
        return False
    if solution[end.start()] != ".":
        return True
    before = solution[max(0, end.start() - 60) : end.start()]
    return not (_ABBREVIATION.search(before) or _LABEL.search(before))


def _unprotected(solution: str, ends: set[int]) -> list[int]:
    """The ends outside LaTeX, code and environments. Environments are counted, because they may be nested."""
    protected = [match.span() for match in _PROTECTED.finditer(solution)]
    changes = [(match.start(), -1 if match[0][1] in "e/" else 1) for match in _BRACKETS.finditer(solution)]
    return [
        end
        for end in ends
        if not any(start < end < stop for start, stop in protected)
        and sum(change for start, change in changes if start < end) <= 0
    ]
