r"""Which prefix of its oracle solution a hard problem is guided with (POPE section 4).

Candidates are uniformly spaced, z^{0:i} for i/n of the part of the solution that comes before its answer. They end
where a line or a sentence ends, never inside LaTeX, and never contain the final answer. `prefix_search.py` chooses
among them by sampling; a problem without a useful one gets a random prefix shorter than a quarter, as in the paper.
"""

import random
import re
from collections.abc import Sequence

_PROTECTED = re.compile(
    r"""
      \\begin\{(?P<env>[A-Za-z]+\*?)\} .*? \\end\{(?P=env)\}
    | (?<!\\)\$\$ .*? (?<!\\)\$\$
    | (?<!\\)\$ (?: (?!\n[ \t]*\n) [^$] )*? (?<!\\)\$     # inline: it cannot span a blank line
    | \\\[ .*? \\\]
    | \\\( .*? \\\)
    """,
    re.DOTALL | re.VERBOSE,
)
"""LaTeX that must not be cut."""
_LINE_END = re.compile(r"\n+")
_SENTENCE_END = re.compile(r"[.!?][)\"'*]*(?=\s+[\"'(*$\\]*[A-Z$\\])")
_ANSWER_STARTS = re.compile(r"\\(?:boxed|fbox)\b|####|\b(?:final answer|the answer is|answer\s*[:=])", re.IGNORECASE)
FALLBACK_SHARE = 0.25
"""The fall-back prefix is shorter than this part of the solution (POPE section 4)."""


def candidates(solution: str, num_prefixes: int, answer: str) -> list[str]:
    """At most `num_prefixes - 1` different prefixes of the solution, ascending; none when there is no place to cut.

    For a built-in chain of n steps and n prefixes they are exactly its first 1, 2, ..., n-1 lines.
    """
    usable = _before_answer(solution, answer)
    cuts = _cuts(solution, usable)
    chosen = {_nearest(cuts, usable * i / num_prefixes) for i in range(1, num_prefixes)} if cuts else set()
    return list(dict.fromkeys(solution[:cut].rstrip() for cut in sorted(chosen)))


def random_short_prefix(solution: str, answer: str, rng: random.Random) -> str:
    """A random prefix shorter than a quarter of the solution, at least its first line or sentence.

    Empty when even that would show the answer; an empty prefix is the unguided prompt.
    """
    cuts = _cuts(solution, _before_answer(solution, answer) + 1)
    if not cuts:
        return ""
    short = [cut for cut in cuts if cut < FALLBACK_SHARE * len(solution)] or cuts[:1]
    return solution[: rng.choice(short)].rstrip()


def _before_answer(solution: str, answer: str) -> int:
    """Length of the solution up to the line or sentence that first shows the final answer."""
    places = [match.start() for match in _ANSWER_STARTS.finditer(solution)]
    if len(answer) > 1:  # a single character stands in many places without being the answer
        bare = answer.lstrip("0") if answer.isdecimal() else answer  # 033 is also found where 33 stands
        alone = re.compile(rf"(?<![\w.^_])0*{re.escape(bare)}(?![\w^_]|\.\d)")
        places += [match.start() for match in alone.finditer(solution)]
    shown = min(places, default=len(solution))
    return max((cut for cut in _boundaries(solution) if cut <= shown), default=0)


def _cuts(solution: str, stop: int) -> list[int]:
    """Boundaries below `stop` at which a prefix may end, ascending."""
    return [cut for cut in _boundaries(solution) if cut < stop and solution[:cut].strip()]


def _nearest(cuts: Sequence[int], target: float) -> int:
    return min(cuts, key=lambda cut: abs(cut - target))


def _boundaries(solution: str) -> list[int]:
    """Ends of lines and sentences outside LaTeX, and the end of the text; ascending."""
    protected = [match.span() for match in _PROTECTED.finditer(solution)]
    ends = {match.end() for pattern in (_LINE_END, _SENTENCE_END) for match in pattern.finditer(solution)}
    free = [end for end in ends if not any(start < end < stop for start, stop in protected)]
    return sorted({*free, len(solution)})
