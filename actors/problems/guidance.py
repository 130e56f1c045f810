r"""The prefixes of an oracle solution that guidance may be (POPE section 4).

Candidates are uniformly spaced: z^{0:i} is i/n of the part of the solution before its answer. They end where a step,
paragraph or sentence ends (`cut_points.py`) and never contain the final answer (`leaks.py`). `prefix_search.py` chooses
one by sampling. A problem without a useful candidate gets a random prefix shorter than a quarter of its solution, as in
the paper; if no step ends there, it has no prefix and is not trained with guidance.

With another `guidance.length` a share of the solution is asked for, and the allowed prefix of the nearest length is the
guidance (`Prefixes`). The rules for where it ends and what it may show are the same.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
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
    usable, cuts = _allowed_cuts(solution, answer, statement)
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


@dataclass(frozen=True)
class Prefixes:
    """All allowed prefixes of one solution, the empty one included."""

    solution: str
    usable_chars: int
    """Characters before the first step that shows the answer."""
    lengths: tuple[int, ...]
    """Lengths of the prefixes in characters, ascending, from 0 on."""

    @classmethod
    def of(cls, problem: Problem) -> "Prefixes":
        """Those of the oracle solution; without a solution the empty one."""
        solution = problem.solution or ""
        usable, cuts = _allowed_cuts(solution, problem.answer, problem.statement)
        return cls(solution, usable, tuple(dict.fromkeys([0, *(len(solution[:cut].rstrip()) for cut in cuts)])))

    def nearest(self, share: float, at_most: int | None = None) -> int:
        """The length nearest to `share` of the part before the answer, the shorter of two; at most `at_most`."""
        lengths = [length for length in self.lengths if at_most is None or length <= at_most]
        return _nearest(lengths, share * self.usable_chars)


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


def _allowed_cuts(solution: str, answer: str, statement: str) -> tuple[int, list[int]]:
    """The length of the part before the answer, and the boundaries at which a prefix of it may end, ascending."""
    usable = _before_answer(solution, answer, statement)
    return usable, _cut_points(solution, usable) or _cut_points(solution, min(usable + 1, len(solution)))


def _cut_points(solution: str, stop: int) -> list[int]:
    """Boundaries below `stop` at which a prefix may end, ascending."""
    return [cut for cut in boundaries(solution) if cut < stop and solution[:cut].strip()]


def _nearest(cuts: Sequence[int], target: float) -> int:
    return min(cuts, key=lambda cut: abs(cut - target))
