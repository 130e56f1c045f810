r"""Chooses the oracle solution of a row among those it has, by its own final answer. Pure.

A row may have one solution, a list, or `generations` with a flag for each. A solution is dropped when the row marks it
as wrong or cut, or when its final answer contradicts the reference answer. Of the others the first with the right final
answer is used, else the first; `generations` come after `solution`. Final answers that only math-verify can compare are
left open here, and `answer_checks.py` compares them.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from actors.verification.answer_rules import Comparison, Decision, decide
from actors.verification.answers import claimed_answers
from actors.verification.thoughts import after_last_thought
from broker.records import Problem

SolutionFault = Literal["contradicts_answer", "marked_wrong", "incomplete"]
Standing = Literal["right", "wrong", "open", "unboxed"]

LISTS = ("generations", "solutions", "responses", "completions")
"""Columns with several solutions of one problem, in the order they are tried."""
_TEXT_KEYS = ("text", "solution", "content", "generation", "response")
_CORRECT = re.compile(r"(?:is_)?correct(?:ness)?(?:_[a-z_]+)?|(?:is_)?verified|passed", re.IGNORECASE)
_COMPLETE = re.compile(r"is_(?:reasoning_)?complete|finished", re.IGNORECASE)
_STEPS_END = re.compile(r"^####[ \t]*(\S[^\n]*?)\s*\Z", re.MULTILINE)


@dataclass(frozen=True)
class Candidate:
    """One solution of a row."""

    text: str
    place: str
    """Its column, with its number in a list, such as `generations.1`."""
    fault: tuple[SolutionFault, str] | None = None
    """(reason, detail) when the row itself says that it cannot be used."""
    second: bool = False
    """Used only if no other solution of the row can be."""


@dataclass(frozen=True)
class Judged:
    """A candidate with how its final answer compares with the reference answer."""

    candidate: Candidate
    standing: Standing
    final: str
    """Its last final answer, empty if it has none. It may stand after results that were boxed on the way."""


@dataclass(frozen=True)
class DroppedSolution:
    """A solution that is not used. Its row keeps its problem."""

    row: int
    id: str
    reason: SolutionFault
    detail: str


def listed_candidates(columns: Mapping[str, Any]) -> Iterator[Candidate]:
    """The solutions of a column of `LISTS`, with what the flags of the row say about each."""
    column = next((name for name in LISTS if isinstance(columns.get(name), Sequence) and columns[name]), None)
    if column is None or isinstance(columns[column], str):
        return
    items = columns[column]
    for number, item in enumerate(items):
        place = f"{column}.{number}"
        if text := _text(item):
            flags = _flags(columns, item, number, len(items))
            if flag := _refusal(flags, _COMPLETE):
                yield Candidate(text, place, second=True, fault=("incomplete", f'"{place}" is incomplete by "{flag}"'))
            elif flag := _refusal(flags, _CORRECT):
                yield Candidate(text, place, second=True, fault=("marked_wrong", f'"{place}" is wrong by "{flag}"'))
            else:
                yield Candidate(text, place, second=True)


def judge(candidate: Candidate, answer: str) -> Judged:
    """The candidate, compared with the reference answer as far as that takes no computer algebra."""
    claims = claimed_answers(candidate.text)
    if not claims and (steps := _STEPS_END.search(candidate.text)):
        claims = (steps[1].replace(",", ""),)
    if not claims:
        return Judged(candidate, "unboxed", "")
    decision = decide(answer, claims[-1])
    if len(claims) > 1 and decision != "correct":  # they may be the members of one answer
        return Judged(candidate, "open", claims[-1])
    return Judged(candidate, _STANDINGS.get(decision, "open"), claims[-1])


_STANDINGS: dict[Decision | Comparison, Standing] = {"correct": "right", "wrong": "wrong", "unparsable": "unboxed"}


def choose(
    problem: Problem, solutions: Sequence[Judged], row: int
) -> tuple[Problem, list[DroppedSolution], Judged | None]:
    """(problem with its solution, solutions that contradict its answer, the chosen one)."""
    dropped, kept = [], []
    for solution in solutions:
        fault = _contradiction(solution, problem.answer) or solution.candidate.fault or _cut(solution.candidate)
        if fault is not None:
            dropped.append(DroppedSolution(row, problem.id, *fault))
        else:
            kept.append(solution)
    chosen = min(kept, key=lambda solution: (solution.candidate.second, solution.standing != "right"), default=None)
    text = chosen.candidate.text if chosen else None
    return msgspec.structs.replace(problem, solution=text), dropped, chosen


def _contradiction(solution: Judged, answer: str) -> tuple[SolutionFault, str] | None:
    if solution.standing != "wrong":
        return None
    place, final = solution.candidate.place, solution.final
    return (
        "contradicts_answer",
        f'"{place}" ends with the answer {final[:80]!r}, the reference answer is {answer[:80]!r}',
    )


def _cut(candidate: Candidate) -> tuple[SolutionFault, str] | None:
    if after_last_thought(candidate.text) is not None:
        return None
    return "incomplete", f'"{candidate.place}" ends inside a thought'


def _flags(columns: Mapping[str, Any], item: Any, number: int, size: int) -> dict[str, Any]:
    """Name -> flag of solution `number`: those in the solution itself, and in lists with one flag for each solution."""
    lists = {name: flags for name, flags in columns.items() if isinstance(flags, list) and len(flags) == size}
    return {name: flags[number] for name, flags in lists.items()} | (dict(item) if isinstance(item, Mapping) else {})


def _refusal(flags: Mapping[str, Any], names: re.Pattern[str]) -> str | None:
    """The first flag with one of these names that refuses a solution, if none accepts it."""
    known = {
        name: flag
        for name, flag in flags.items()
        if names.fullmatch(name) and isinstance(flag, bool | int | float) and not _unknown(flag)
    }
    return next(iter(known)) if known and not any(known.values()) else None


def _unknown(flag: float) -> bool:
    return isinstance(flag, float) and math.isnan(flag)


def _text(item: Any) -> str:
    if isinstance(item, Mapping):
        item = next((item[key] for key in _TEXT_KEYS if isinstance(item.get(key), str)), None)
    return item.strip() if isinstance(item, str) else ""
