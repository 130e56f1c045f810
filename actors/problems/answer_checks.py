r"""Asks the verifier which reference answers it can match, and which solutions contradict theirs.

math-verify runs in child processes with a time and a memory limit. A problem is rejected when its reference answer
cannot be parsed, or when a spelling of it that a response may use, such as `\dfrac{1}{2}` for `\frac{1}{2}`, is not
judged correct: its right responses would get no reward.
"""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from actors.problems.problem_set import ProblemSet, RejectedRow, RejectionReason
from actors.problems.solutions import Judged, Standing, choose
from actors.verification.answer_rules import decide
from actors.verification.answers import is_plain
from actors.verification.verifier import VerifierPool
from broker.records import Problem, Verdict
from conf.schema import VerifierSettings

ProgressCallback = Callable[[int, int], None]
"""Called with (number of answers and solutions checked, number of all)."""
Fault = tuple[RejectionReason, str]
"""(reason, predicate of a sentence about the answer)."""

MIN_DEADLINE_S = 10.0
"""Lower bound of the deadline for one answer, seconds, so that answers are not rejected on a busy machine."""

_WORDS = re.compile(r"\\(?:text(?:bf|it|rm)?|mathrm|mbox|operatorname|begin|end)\s*\{[^{}]*\}")
_OPERATORS = re.compile(r"(?<=[0-9a-zA-Z)}])\s*([=<>+-])\s*(?=[0-9a-zA-Z({\\])")
_BLANKS = re.compile(r" *(?<!\\)([=<>+,-]) *")
_FRACTION = re.compile(r"\\[dt]?frac(?![a-zA-Z])")


def check_answers(
    problem_set: ProblemSet, settings: VerifierSettings, progress: ProgressCallback | None = None
) -> ProblemSet:
    """Rejects problems whose answer cannot be parsed or matched, and chooses the solutions that were left open.

    Runs its own event loop. Starts child processes only if something cannot be decided without them.
    """
    unsure = {problem.answer for problem in problem_set.problems if not is_plain(problem.answer)}
    if not unsure and not problem_set.open_solutions:
        return problem_set
    settings = replace(settings, deadline_s=max(settings.deadline_s, MIN_DEADLINE_S))
    checks = _Checks(settings.deadline_s)
    asyncio.run(_ask(checks, problem_set, settings, progress or (lambda done, total: None)))
    faulty = ((problem, checks.faults.get(problem.answer)) for problem in problem_set.problems)
    checked = problem_set.without(
        RejectedRow(problem_set.rows.get(problem.id, 0), problem.id, fault[0], f'"answer" {fault[1]}')
        for problem, fault in faulty
        if fault is not None
    )
    return _with_solutions(checked, checks.standings)


def spellings(answer: str) -> Iterator[str]:
    """Spellings of an answer that a response may well use, other than its own."""
    wide = _FRACTION.sub(r"\\dfrac", _outside_words(lambda part: _OPERATORS.sub(r" \1 ", part), answer))
    tight = _FRACTION.sub(r"\\frac", _outside_words(lambda part: _BLANKS.sub(r"\1", part), answer))
    yield from dict.fromkeys(spelling for spelling in (wide, tight) if spelling != answer)


def _outside_words(change: Callable[[str], str], latex: str) -> str:
    """The LaTeX with its parts outside of words changed."""
    changed, start = [], 0
    for words in _WORDS.finditer(latex):
        changed += [change(latex[start : words.start()]), words[0]]
        start = words.end()
    return "".join([*changed, change(latex[start:])])


@dataclass
class _Checks:
    """The results of the verifier."""

    deadline_s: float
    faults: dict[str, Fault] = field(default_factory=dict)
    """Answer -> why its problem is rejected."""
    standings: dict[tuple[str, str], Standing] = field(default_factory=dict)
    """(solution, answer) -> how they compare."""

    async def answer(self, pool: VerifierPool, answer: str) -> None:
        verdict = await pool.judge_reference(answer)
        if verdict != "correct":
            self.faults[answer] = ("unparsable_answer", f"{answer!r} cannot be verified: {self._cause(verdict)}")
            return
        for spelling in spellings(answer):
            if decide(answer, spelling) == "correct":
                continue
            verdict = await pool.judge(f"\\boxed{{{spelling}}}", answer)
            if verdict != "correct":
                told = f"{answer!r} cannot be matched: the same answer written {spelling!r} is judged {verdict}"
                self.faults[answer] = ("unmatchable_answer", f"{told}; write it in a simpler form")
                return

    async def solution(self, pool: VerifierPool, solution: Judged, answer: str) -> None:
        """All final answers together, else the last one alone: a person may box results on the way."""
        text = solution.candidate.text
        verdict = await pool.judge(text, answer)
        if verdict != "correct":
            verdict = await pool.judge(f"\\boxed{{{solution.final}}}", answer)
        standings: dict[Verdict, Standing] = {"correct": "right", "wrong": "wrong"}
        self.standings[text, answer] = standings.get(verdict, "unboxed")

    def _cause(self, verdict: Verdict) -> str:
        causes = {
            "timeout": f"math-verify needs more than {self.deadline_s:g} s to parse it",
            "crash": "math-verify needs more than verifier.memory_gib to parse it",
        }
        return causes.get(verdict, "math-verify finds no expression in it")


async def _ask(
    checks: _Checks, problem_set: ProblemSet, settings: VerifierSettings, progress: ProgressCallback
) -> None:
    answers = dict.fromkeys(problem.answer for problem in problem_set.problems if not is_plain(problem.answer))
    answer_of = {problem.id: problem.answer for problem in problem_set.problems}
    open_solutions = dict.fromkeys(
        (solution, answer_of[id])
        for id, solutions in problem_set.open_solutions.items()
        for solution in solutions
        if solution.standing == "open"
    )
    workers = max(settings.workers, min(8, os.cpu_count() or 1, len(answers) + len(open_solutions)))
    pool = VerifierPool(replace(settings, workers=workers))
    jobs: list[Callable[[], Awaitable[None]]] = [
        *(partial(checks.answer, pool, answer) for answer in answers),
        *(partial(checks.solution, pool, solution, answer) for solution, answer in open_solutions),
    ]
    waiting = iter(jobs)
    done = 0

    async def work() -> None:
        nonlocal done
        for job in waiting:
            await job()
            done += 1
            progress(done, len(jobs))

    try:
        await asyncio.gather(*(work() for _ in range(workers)))
    finally:
        pool.close()


def _with_solutions(problem_set: ProblemSet, standings: Mapping[tuple[str, str], Standing]) -> ProblemSet:
    """The set with the solutions chosen that were left open."""
    problems: list[Problem] = []
    dropped = list(problem_set.dropped_solutions)
    for problem in problem_set.problems:
        if solutions := problem_set.open_solutions.get(problem.id):
            closed = list(_closed(solutions, problem.answer, standings))
            problem, more, _ = choose(problem, closed, problem_set.rows.get(problem.id, 0))
            dropped += more
        problems.append(problem)
    kept = {problem.id for problem in problems}
    dropped = [solution for solution in dropped if solution.id in kept]
    return replace(problem_set, problems=problems, dropped_solutions=dropped, open_solutions={})


def _closed(
    solutions: Sequence[Judged], answer: str, standings: Mapping[tuple[str, str], Standing]
) -> Iterable[Judged]:
    for solution in solutions:
        yield replace(solution, standing=standings.get((solution.candidate.text, answer), solution.standing))
