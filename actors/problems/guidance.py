r"""The candidate prefixes of an oracle solution for guidance (POPE section 4).

Candidates are uniformly spaced: z^{0:i} is i/n of the part of the solution before its answer. They end where a step,
paragraph or sentence ends (`cut_points.py`) and never contain the final answer (`leaks.py`). `prefix_search.py` chooses
one by sampling. A problem without a useful candidate gets a random prefix shorter than a quarter of its solution, as in
the paper; if no step ends there, it has no prefix and is not trained with guidance.
"""

import random
from collections.abc import Sequence
from functools import lru_cache

from actors.problems.cut_points import boundaries
from actors.problems.leaks import AnswerDetector
from actors.problems.mixture import has_prefix
from broker.records import Problem

FALLBACK_SHARE = 0.25
"""The fall-back prefix is shorter than this share of the solution, in characters (POPE section 4)."""


def candidate_prefixes(solution: str, num_prefixes: int, answer: str, statement: str = "") -> list[str]:
    """At most `num_prefixes - 1` different prefixes of the solution, ascending in length; may be an empty list.

    The last step before the answer is part of a prefix only if it is the only one. An answer that also occurs in the
    statement may occur in a prefix, unless the prefix claims it as the answer. For a built-in chain of n steps and
    num_prefixes=n, the candidates are exactly its first 1, 2, ..., n-1 lines.
    """
    usable = _before_answer(solution, answer, statement)
    cuts = _cut_points(solution, usable) or _cut_points(solution, min(usable + 1, len(solution)))
    chosen = {_nearest(cuts, usable * i / num_prefixes) for i in range(1, num_prefixes)} if cuts else set()
    return list(dict.fromkeys(solution[:cut].rstrip() for cut in sorted(chosen)))


def random_short_prefix(
    solution: str, answer: str, rng: random.Random, statement: str = "", below_chars: int | None = None
) -> str:
    """A random prefix of whole steps or sentences, strictly shorter than a quarter of the solution in characters.

    `below_chars`: it is also shorter than this. Empty if the first step is longer or shows the answer: the problem has
    no prefix.
    """
    cuts = _cut_points(solution, _before_answer(solution, answer, statement) + 1)
    limit = min(FALLBACK_SHARE * len(solution), len(solution) if below_chars is None else below_chars)
    short = [cut for cut in cuts if cut < limit]
    return solution[: rng.choice(short)].rstrip() if short else ""


def may_be_guided(problem: Problem) -> bool:
    """Whether the problem has guidance that is not empty or, if it is not chosen yet, a solution to cut it from."""
    if problem.guidance is not None:
        return has_prefix(problem)
    return bool(problem.solution and candidate_prefixes(problem.solution, 2, problem.answer, problem.statement))


@lru_cache(maxsize=64)
def _before_answer(solution: str, answer: str, statement: str) -> int:
    """Length of the solution before the first step or sentence that shows the final answer."""
    detector, start = AnswerDetector(answer, statement, solution), 0
    for stop in boundaries(solution):
        if detector.shows_in(solution[start:stop]):
            return start
        start = stop
    return start


def _cut_points(solution: str, stop: int) -> list[int]:
    """Boundaries below `stop` at which a prefix may end, ascending."""
    return [cut for cut in boundaries(solution) if cut < stop and solution[:cut].strip()]


def _nearest(cuts: Sequence[int], target: float) -> int:
    return min(cuts, key=lambda cut: abs(cut - target))
