r"""Which prefix of its oracle solution a hard problem is guided with (POPE section 4).

Candidates are uniformly spaced, z^{0:i} for i/n of the part of the solution that comes before its answer. They end
where a step, paragraph or sentence ends (`cuts.py`) and never contain the final answer (`leaks.py`). `prefix_search.py`
chooses among them by sampling; a problem without a useful one gets a random prefix shorter than a quarter, as in the
paper.
"""

import random
from collections.abc import Sequence

from actors.problems.cut_points import boundaries
from actors.problems.leaks import shows_answer

FALLBACK_SHARE = 0.25
"""The fall-back prefix is shorter than this part of the solution (POPE section 4)."""


def candidates(solution: str, num_prefixes: int, answer: str, statement: str = "") -> list[str]:
    """At most `num_prefixes - 1` different prefixes of the solution, ascending; none when there is no place to cut.

    An answer that stands in the statement is no secret; then only the claim that it is the answer is held back.
    For a built-in chain of n steps and n prefixes they are exactly its first 1, 2, ..., n-1 lines.
    """
    usable = _before_answer(solution, answer, statement)
    cuts = _cuts(solution, usable)
    chosen = {_nearest(cuts, usable * i / num_prefixes) for i in range(1, num_prefixes)} if cuts else set()
    return list(dict.fromkeys(solution[:cut].rstrip() for cut in sorted(chosen)))


def random_short_prefix(solution: str, answer: str, rng: random.Random, statement: str = "") -> str:
    """A random prefix shorter than a quarter of the solution, at least its first line or sentence.

    Empty when even that would show the answer; an empty prefix is the unguided prompt.
    """
    cuts = _cuts(solution, _before_answer(solution, answer, statement) + 1)
    if not cuts:
        return ""
    short = [cut for cut in cuts if cut < FALLBACK_SHARE * len(solution)] or cuts[:1]
    return solution[: rng.choice(short)].rstrip()


def _before_answer(solution: str, answer: str, statement: str) -> int:
    """Length of the solution up to the line or sentence that first shows the final answer."""
    start = 0
    for stop in boundaries(solution):
        if shows_answer(solution[start:stop], answer, statement):
            return start
        start = stop
    return start


def _cuts(solution: str, stop: int) -> list[int]:
    """Boundaries below `stop` at which a prefix may end, ascending."""
    return [cut for cut in boundaries(solution) if cut < stop and solution[:cut].strip()]


def _nearest(cuts: Sequence[int], target: float) -> int:
    return min(cuts, key=lambda cut: abs(cut - target))
