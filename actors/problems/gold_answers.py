r"""The gold answer of a problem: taken out of its dress, and known to the verifier before it is trained on.

`clean` and `fault` are pure and decide what needs no parser. `check_answers` asks math-verify about the rest, in its
killable child processes: an answer that it does not understand could never be matched, so its problem is rejected.
"""

import asyncio
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from actors.problems.problem_set import ProblemSet, Rejected
from actors.verification.answers import MAX_ANSWER_CHARS, is_plain
from actors.verification.verifier import VerifierPool
from broker.records import Verdict
from conf.schema import VerifierSettings

Progress = Callable[[int, int], None]
"""Called with (answers asked about so far, all there are)."""
Kind = Literal["integer", "number", "several values", "equation", "words", "expression"]

DEADLINE_S = 10.0
"""Seconds one answer may take here, at least: what a busy machine delays must not be thrown out."""

_DOLLAR = re.compile(r"(?<!\\)\$")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:(?: |\\,|\\ |\{,\})\d{3})+(?:\.\d+)?")
_SEPARATOR = re.compile(r" |\\,|\\ |\{,\}")
_NAMED = re.compile(r"\A[A-Za-z]_\{?\\[a-z]+ *\}?\s*=\s*")
"""`m_{\\max}=`, which math-verify cannot read; of `m=` it knows itself that what follows is the answer."""
_COMMAND = re.compile(r"\\[A-Za-z]+")
_SENTENCE = re.compile(r"\b(?!sin|cos|tan|log|ln)[A-Za-z]{2,}(?:,? +[A-Za-z]+){3,}")
"""Four words in a row, the first of two letters or more: `no such integer exists`, not `3 hours and 20 minutes`."""
_NUMBER = re.compile(r"[+-]?(?:\d*\.\d+|\d+/\d+|\\[dt]?frac\{-?\d+\}\{-?\d+\}|\d+\^\{?-?\d+\}?|\d+(?:\.\d+)?\\%)")
_WORDS_ONLY = re.compile(r"[A-Za-z]{2,}(?: [A-Za-z]+)*|\\(?:text|mathrm|textbf)\{[^{}]*\}")


def clean(answer: str) -> str:
    r"""Without dollar signs, a box, a final full stop, a name before it, and blanks between thousands.

    `$69$,$84$` -> `69,84`; `\boxed{7}` -> `7`; `1\,000` -> `1000` (math-verify would read 1 times 0).
    """
    while True:
        before, answer = answer, _DOLLAR.sub("", answer).strip()
        if answer.startswith("\\boxed{") and answer.endswith("}") and balanced(inside := answer[7:-1]):
            answer = inside.strip()
        answer = _NAMED.sub("", answer.removesuffix(".").rstrip())
        if _THOUSANDS.fullmatch(answer):
            answer = _SEPARATOR.sub("", answer)
        if answer == before:
            return answer


def fault(answer: str) -> str | None:
    """Why no parser need be asked about a clean answer, in words that follow `"answer"`; None when one must."""
    if len(answer) > MAX_ANSWER_CHARS:
        return f"has {len(answer)} characters, the limit is {MAX_ANSWER_CHARS}; give the answer alone"
    if not balanced(answer):
        return "has unbalanced braces, so it cannot be parsed; close every {"
    if _SENTENCE.search(_COMMAND.sub("|", answer)):
        return "is a sentence, which no response can be compared with; give a number, an expression or a name"
    return None


def balanced(latex: str) -> bool:
    """Whether every unescaped { has its }."""
    depth, escaped = 0, False
    for char in latex:
        if not escaped and char in "{}":
            depth += 1 if char == "{" else -1
            if depth < 0:
                return False
        escaped = char == "\\" and not escaped
    return depth == 0


def kind(answer: str) -> Kind:
    """What sort of answer this looks like; for people, nothing depends on it."""
    if re.fullmatch(r"[+-]?\d+", answer):
        return "integer"
    if _NUMBER.fullmatch(answer):
        return "number"
    if _WORDS_ONLY.fullmatch(answer):
        return "words"
    if "," in answer.replace("{,}", ""):
        return "several values"
    return "equation" if "=" in answer else "expression"


def check_answers(found: ProblemSet, settings: VerifierSettings, progress: Progress | None = None) -> ProblemSet:
    """The same set, without the problems whose answer math-verify does not understand; those are rejected.

    Runs an event loop of its own, and starts child processes only when an answer is not plain.
    """
    golds = list(dict.fromkeys(problem.answer for problem in found.problems if not is_plain(problem.answer)))
    if not golds:
        return found
    verdicts = asyncio.run(_judge(golds, settings, progress or (lambda done, total: None)))
    problems = [p for p in found.problems if verdicts.get(p.answer, "correct") == "correct"]
    failed = [p for p in found.problems if verdicts.get(p.answer, "correct") != "correct"]
    rejected = [
        Rejected(found.rows.get(p.id, 0), p.id, "unparsable_answer", _explained(p.answer, verdicts[p.answer]))
        for p in failed
    ]
    return replace(
        found, problems=problems, rejected=sorted([*found.rejected, *rejected], key=lambda rejected: rejected.row)
    )


async def _judge(golds: Sequence[str], settings: VerifierSettings, progress: Progress) -> dict[str, Verdict]:
    """Answer -> `correct` when it can be parsed."""
    workers = max(settings.workers, min(8, os.cpu_count() or 1, len(golds)))
    pool = VerifierPool(replace(settings, workers=workers, deadline_s=max(settings.deadline_s, DEADLINE_S)))
    verdicts: dict[str, Verdict] = {}
    waiting = iter(golds)

    async def ask() -> None:
        for gold in waiting:
            verdicts[gold] = await pool.judge_reference(gold)
            progress(len(verdicts), len(golds))

    try:
        await asyncio.gather(*(ask() for _ in range(workers)))
    finally:
        pool.close()
    return verdicts


def _explained(answer: str, verdict: Verdict) -> str:
    why = {
        "timeout": f"math-verify needs more than {DEADLINE_S:g} s to parse it",
        "crash": "math-verify needs more than verifier.memory_gib to parse it",
    }
    return f'"answer" {answer!r} cannot be verified: {why.get(verdict, "math-verify finds no expression in it")}'
