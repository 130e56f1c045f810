r"""Cleans reference answers of LaTeX wrappers, and checks that the verifier can parse them.

`clean_answer` and `obvious_fault` are pure. `check_answers` runs math-verify on the remaining answers, in child
processes with a time and a memory limit. No response could match an answer that math-verify cannot parse, so its
problem is rejected.
"""

import asyncio
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from actors.problems.problem_set import ProblemSet, RejectedRow
from actors.verification.answers import MAX_ANSWER_CHARS, is_plain
from actors.verification.verifier import VerifierPool
from broker.records import Verdict
from conf.schema import VerifierSettings

ProgressCallback = Callable[[int, int], None]
"""Called with (number of parsed answers, number of all answers)."""
AnswerKind = Literal["integer", "number", "several values", "equation", "words", "expression"]

MIN_DEADLINE_S = 10.0
"""Lower bound of the deadline for one answer, seconds, so that answers are not rejected on a busy machine."""

_DOLLAR = re.compile(r"(?<!\\)\$")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:(?: |\\,|\\ |\{,\})\d{3})+(?:\.\d+)?")
_SEPARATOR = re.compile(r" |\\,|\\ |\{,\}")
_SUBSCRIPTED_NAME = re.compile(r"\A[A-Za-z]_\{?\\[a-z]+ *\}?\s*=\s*")
"""`m_{\\max}=`, which math-verify cannot parse. It can parse a plain `m=`."""
_COMMAND = re.compile(r"\\[A-Za-z]+")
_SENTENCE = re.compile(r"\b(?!sin|cos|tan|log|ln)[A-Za-z]{2,}(?:,? +[A-Za-z]+){3,}")
"""Four words in a row, the first of two letters or more: `no such integer exists`, not `3 hours and 20 minutes`."""
_NUMBER = re.compile(r"[+-]?(?:\d*\.\d+|\d+/\d+|\\[dt]?frac\{-?\d+\}\{-?\d+\}|\d+\^\{?-?\d+\}?|\d+(?:\.\d+)?\\%)")
_WORDS_ONLY = re.compile(r"[A-Za-z]{2,}(?: [A-Za-z]+)*|\\(?:text|mathrm|textbf)\{[^{}]*\}")


def clean_answer(answer: str) -> str:
    r"""The answer without dollar signs, outer box, final full stop, subscripted name and thousands separators.

    `$69$,$84$` -> `69,84`; `\boxed{7}` -> `7`; `1\,000` -> `1000` (math-verify would read 1 times 0).
    """
    while True:
        before, answer = answer, _DOLLAR.sub("", answer).strip()
        if answer.startswith("\\boxed{") and answer.endswith("}") and has_balanced_braces(inside := answer[7:-1]):
            answer = inside.strip()
        answer = _SUBSCRIPTED_NAME.sub("", answer.removesuffix(".").rstrip())
        if _THOUSANDS.fullmatch(answer):
            answer = _SEPARATOR.sub("", answer)
        if answer == before:
            return answer


def obvious_fault(answer: str) -> str | None:
    """Why no response can match a clean answer, as far as this can be decided without a parser; None otherwise.

    The result is the predicate of a sentence that begins with `"answer"`.
    """
    if len(answer) > MAX_ANSWER_CHARS:
        return f"has {len(answer)} characters, the limit is {MAX_ANSWER_CHARS}; give the answer alone"
    if not has_balanced_braces(answer):
        return "has unbalanced braces, so it cannot be parsed; close every {"
    if _SENTENCE.search(_COMMAND.sub("|", answer)):
        return "is a sentence, which no response can be compared with; give a number, an expression or a name"
    return None


def has_balanced_braces(latex: str) -> bool:
    """Whether every unescaped { is closed by a }."""
    depth, escaped = 0, False
    for char in latex:
        if not escaped and char in "{}":
            depth += 1 if char == "{" else -1
            if depth < 0:
                return False
        escaped = char == "\\" and not escaped
    return depth == 0


def answer_kind(answer: str) -> AnswerKind:
    """A rough class of the answer, for the table of `pope problems check` only."""
    if re.fullmatch(r"[+-]?\d+", answer):
        return "integer"
    if _NUMBER.fullmatch(answer):
        return "number"
    if _WORDS_ONLY.fullmatch(answer):
        return "words"
    if "," in answer.replace("{,}", ""):
        return "several values"
    return "equation" if "=" in answer else "expression"


def check_answers(
    problem_set: ProblemSet, settings: VerifierSettings, progress: ProgressCallback | None = None
) -> ProblemSet:
    """Rejects the problems whose answer math-verify cannot parse.

    Runs its own event loop. Starts child processes only if some answer is not plain (`is_plain`).
    """
    answers = list(dict.fromkeys(problem.answer for problem in problem_set.problems if not is_plain(problem.answer)))
    if not answers:
        return problem_set
    settings = replace(settings, deadline_s=max(settings.deadline_s, MIN_DEADLINE_S))
    verdicts = asyncio.run(_parse_all(answers, settings, progress or (lambda done, total: None)))
    parsed = [p for p in problem_set.problems if verdicts.get(p.answer, "correct") == "correct"]
    failed = [p for p in problem_set.problems if verdicts.get(p.answer, "correct") != "correct"]
    rejected = [
        RejectedRow(
            row=problem_set.rows.get(p.id, 0),
            id=p.id,
            reason="unparsable_answer",
            detail=_detail(p.answer, verdicts[p.answer], settings.deadline_s),
        )
        for p in failed
    ]
    return replace(
        problem_set, problems=parsed, rejected=sorted([*problem_set.rejected, *rejected], key=lambda row: row.row)
    )


async def _parse_all(
    answers: Sequence[str], settings: VerifierSettings, progress: ProgressCallback
) -> dict[str, Verdict]:
    """Answer -> `correct` when it can be parsed."""
    workers = max(settings.workers, min(8, os.cpu_count() or 1, len(answers)))
    pool = VerifierPool(replace(settings, workers=workers))
    verdicts: dict[str, Verdict] = {}
    waiting = iter(answers)

    async def work() -> None:
        for answer in waiting:
            verdicts[answer] = await pool.judge_reference(answer)
            progress(len(verdicts), len(answers))

    try:
        await asyncio.gather(*(work() for _ in range(workers)))
    finally:
        pool.close()
    return verdicts


def _detail(answer: str, verdict: Verdict, deadline_s: float) -> str:
    reasons = {
        "timeout": f"math-verify needs more than {deadline_s:g} s to parse it",
        "crash": "math-verify needs more than verifier.memory_gib to parse it",
    }
    reason = reasons.get(verdict, "math-verify finds no expression in it")
    return f'"answer" {answer!r} cannot be verified: {reason}'
