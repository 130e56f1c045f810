"""Finds the positions at which a solution may be cut: after a step, paragraph or sentence, not inside LaTeX or code."""

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
_LINE_END = re.compile(r"[ \t]*\n\s*")
_SENTENCE_END = re.compile(
    r"""
    (?<!\.) (?: [.!?] [)"'*\]]* | [.!?] \s* (?:\$\$?|\\\]|\\\)) ) (?= \s+ ["'(*$\\]* [A-Z$\\] )
    """,
    re.VERBOSE,
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(~])(?:e\.g|i\.e|cf|vs|resp|viz|approx|fig|figs|eq|eqs|no|nos|thm|prop|def|sec|ch|pp?|st|mr|mrs|dr|[A-Z])$",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"(?:^|\n)[\s*#]*(?:(?:case|step|part|claim|solution|method)\s*)?\(?(?:[0-9]{1,2}|[a-z]|[ivx]+)$", re.IGNORECASE
)
_OPEN_END = re.compile(
    r"(?:[-,:;(=+<>&/~]|\\(?:le|ge|cdot|times|to|implies|Rightarrow|Longrightarrow|and|or|qquad|quad))\s*$"
)
_CONTINUES = re.compile(r"[a-z,.;:)=+<>&]|\\(?:implies|Rightarrow|Longrightarrow|iff|le|ge|to)\b")
_DISPLAY = re.compile(r"\$|\\\[|\\\(|\\begin")


def boundaries(solution: str) -> list[int]:
    """Indices at which a step, paragraph or sentence ends, ascending; the last is the length of the text."""
    protected = [match.span() for match in _PROTECTED.finditer(solution)]
    ends = {match.end() for match in _LINE_END.finditer(solution) if _ends_step(solution, *match.span())}
    ends |= {match.end() for match in _SENTENCE_END.finditer(solution) if _ends_sentence(solution, match.start())}
    free = [end for end in ends if not any(start < end < stop for start, stop in protected)]
    return sorted({*_outside_environments(solution, free), len(solution)})


def _ends_step(solution: str, start: int, stop: int) -> bool:
    """Whether the line that ends at `start` ends a step: the next line neither continues it nor has its formula."""
    before, after = solution[max(0, start - 200) : start], solution[stop : stop + 30]
    if not after or _OPEN_END.search(before) or _CONTINUES.match(after) or (before[-1:] == after[0] == "|"):
        return False  # the last condition: between two rows of a table
    return not (before[-1:].isalpha() and _DISPLAY.match(after))


def _ends_sentence(solution: str, position: int) -> bool:
    """Whether the full stop at `position` ends a sentence, not an abbreviation, an initial or an item number."""
    if solution[position] != ".":
        return True
    before = solution[max(0, position - 60) : position]
    return not (_ABBREVIATION.search(before) or _LABEL.search(before))


def _outside_environments(solution: str, ends: list[int]) -> list[int]:
    """The ends outside all environments. Counts begins and ends, because environments of one name may be nested."""
    changes = [(match.start(), -1 if match[0][1] in "e/" else 1) for match in _BRACKETS.finditer(solution)]
    return [end for end in ends if sum(change for start, change in changes if start < end) <= 0]
