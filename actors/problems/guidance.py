r"""Which prefix of its oracle solution a hard problem is guided with (POPE section 4).

Candidates are uniformly spaced, z^{0:i} for i/n of the part of the solution that comes before its answer. They end
where a step, paragraph or sentence ends (`actors.problems.cuts`) and never contain the final answer
(`actors.problems.leaks`). The search tries the shortest
first and takes the first with which the base model succeeds at least once; a problem without any gets a random prefix
shorter than a quarter, as in the paper.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from actors.problems.cuts import boundaries
from actors.problems.leaks import shows_answer
from broker.records import Problem

FALLBACK_SHARE = 0.25
"""The fall-back prefix is shorter than this part of the solution (POPE section 4)."""


@dataclass(frozen=True)
class PrefixTrial:
    """What one candidate prefix cost and gave."""

    problem_id: str
    index: int
    """Place among the problem's candidates, from 0, ascending in length."""
    prefix: str
    samples: int
    successes: int


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


def choose(successes: Sequence[int]) -> int | None:
    """Index of the shortest candidate with at least one success; `successes` ascends in prefix length."""
    return next((index for index, count in enumerate(successes) if count > 0), None)


@dataclass
class _Progress:
    problem: Problem
    prefixes: list[str]
    successes: list[int] = field(default_factory=list)

    @property
    def done(self) -> bool:
        return choose(self.successes) is not None or len(self.successes) == len(self.prefixes)


class PrefixSearch:
    """All problems side by side, each shortest prefix first; it plans and remembers, its user samples.

        while pending := search.pending():
            for problem, prefix in pending:
                search.record(problem.id, successes of `samples` rollouts guided by prefix)
        search.result()
    """

    def __init__(self, problems: Sequence[Problem], num_prefixes: int, samples: int, seed: int) -> None:
        self._samples = samples
        self._seed = seed
        self._progress: dict[str, _Progress] = {}
        self._trials: list[PrefixTrial] = []
        for problem in problems:
            if not problem.solution:
                raise ValueError(f"problem {problem.id} has no solution to cut guidance from")
            prefixes = candidates(problem.solution, num_prefixes, problem.answer)
            self._progress[problem.id] = _Progress(problem, prefixes)

    def pending(self) -> list[tuple[Problem, str]]:
        """The next prefix of every problem that has none yet; empty when the search is over."""
        return [(p.problem, p.prefixes[len(p.successes)]) for p in self._progress.values() if not p.done]

    def record(self, problem_id: str, successes: int) -> None:
        """Outcome of the pending prefix of one problem."""
        progress = self._progress[problem_id]
        if progress.done:
            raise ValueError(f"problem {problem_id} has no pending prefix")
        if not 0 <= successes <= self._samples:
            raise ValueError(f"problem {problem_id}: {successes} successes of {self._samples} samples")
        index = len(progress.successes)
        progress.successes.append(successes)
        self._trials.append(PrefixTrial(problem_id, index, progress.prefixes[index], self._samples, successes))

    def result(self) -> dict[str, str]:
        """Problem id -> chosen prefix. Only once nothing is pending."""
        if self.pending():
            raise ValueError(f"{len(self.pending())} problems still have a prefix to try")
        return {problem_id: self._chosen(progress) for problem_id, progress in self._progress.items()}

    @property
    def trials(self) -> list[PrefixTrial]:
        """Every prefix tried, in the order of trying."""
        return list(self._trials)

    @property
    def fallbacks(self) -> list[str]:
        """Problems that no prefix solved; they get a random short one."""
        return [id for id, progress in self._progress.items() if progress.done and choose(progress.successes) is None]

    def _chosen(self, progress: _Progress) -> str:
        index = choose(progress.successes)
        if index is not None:
            return progress.prefixes[index]
        problem = progress.problem
        rng = random.Random(f"{self._seed}/fallback/{problem.id}")
        return random_short_prefix(problem.solution or "", problem.answer, rng)


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
