"""Demonstrations for supervised fine-tuning: prompts and responses by `sft.data`.

    full_oracle      unguided prompt -> the whole oracle solution
    guided_oracle    the same for one half of the problems; for the other, guided prompt -> the rest of the solution
    prefix           unguided prompt -> POPE's guidance and a correct completion of it (`rejection_sampling.py`)
    FILE.jsonl       {"prompt": "What is 1+1?", "response": "1+1=2."}, one object per line

A prompt is the user's message. The model's chat template is applied when it is tokenized.
"""

import random
from collections.abc import Sequence
from pathlib import Path

import msgspec

from actors.problems.guidance import candidate_prefixes
from actors.prompts import PromptBuilder, guided_message, unguided_message
from broker.errors import UsageError
from broker.records import Problem, Record, int32_bytes
from conf.schema import GuidanceSettings


class Demonstration(Record, frozen=True):
    """One prompt and one response to it."""

    problem_id: str
    source: str
    """full_oracle, guided_oracle, prefix, or the name of the file."""
    prompt: str
    """The user's message. It carries no loss."""
    response: str
    """The trained text, without the token that ends the assistant's turn."""
    system: str | None = None
    """The system message; None: `prompts.system`."""


class LeftOut(Record, frozen=True):
    """A problem, or a line of the user's file, that SFT does not use."""

    problem_id: str
    reason: str
    """One of a few reasons, which are counted."""
    detail: str = ""


class _Line(msgspec.Struct, forbid_unknown_fields=False):
    """The required fields of a line of the user's file. Others are ignored."""

    prompt: str
    response: str


def full_oracle_demonstrations(problems: Sequence[Problem]) -> tuple[list[Demonstration], list[LeftOut]]:
    """Demonstrations of whole oracle solutions ("Full-oracle SFT", POPE section 6), and the problems without one."""
    demonstrations = [
        Demonstration(
            problem_id=problem.id,
            source="full_oracle",
            prompt=unguided_message(problem.statement),
            response=problem.solution.strip(),
            system=problem.system,
        )
        for problem in problems
        if problem.solution
    ]
    return demonstrations, [LeftOut(problem_id=p.id, reason="no solution") for p in problems if not p.solution]


def guided_oracle_demonstrations(
    problems: Sequence[Problem], guidance: GuidanceSettings, seed: int
) -> tuple[list[Demonstration], list[LeftOut]]:
    """Demonstrations of both kinds of prompt, for a model that cannot continue a partial solution yet, and the problems
    without a solution.

    Every second problem is demonstrated with a guided prompt and the rest of its solution, unless no candidate prefix
    (`guidance.py`) exists; which of them is drawn by `seed`. All others are demonstrated as by full_oracle.
    """
    demonstrations, left_out = full_oracle_demonstrations(problems)
    solved = [problem for problem in problems if problem.solution]
    for i, (whole, problem) in enumerate(zip(demonstrations, solved, strict=True)):
        prefixes = _prefixes(problem, guidance) if i % 2 else []
        if prefixes:
            demonstrations[i] = _rest(whole, problem, random.Random(f"{seed}:{problem.id}").choice(prefixes), guidance)
    return demonstrations, left_out


def _prefixes(problem: Problem, guidance: GuidanceSettings) -> list[str]:
    solution = (problem.solution or "").strip()
    return candidate_prefixes(solution, guidance.num_prefixes, problem.answer, problem.statement)


def _rest(whole: Demonstration, problem: Problem, prefix: str, guidance: GuidanceSettings) -> Demonstration:
    return msgspec.structs.replace(
        whole,
        source="guided_oracle",
        prompt=guided_message(problem.statement, prefix, guidance.instruction),
        response=whole.response[len(prefix) :].strip(),
    )


def read_demonstrations(path: Path) -> list[Demonstration]:
    """The prompts and responses of the user's file. Raises UsageError with file and line."""
    try:
        lines = path.expanduser().read_bytes().splitlines()
    except OSError as error:
        raise UsageError(f"sft.data={path}: {error.strerror}; give the path of a .jsonl file") from error
    demonstrations = [_demonstration(path, number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not demonstrations:
        raise UsageError(f"{path}: no demonstration in it; {_REMEDY}")
    return demonstrations


def token_ids(demonstration: Demonstration, prompts: PromptBuilder) -> tuple[bytes, bytes]:
    """int32[P] of the prompt in its chat template, int32[R] of the response with the token that ends the turn.

    The two are tokenized separately, as in a rollout, where the prompt is tokenized before the response exists. Raises
    PromptFault when the tokenizer reads text of either as a control token, or the template changes the prompt.
    """
    template = prompts.template
    prompt = template.ids(template.text(demonstration.prompt, demonstration.system), demonstration.system)
    return int32_bytes(prompt), int32_bytes(prompts.response_ids(demonstration.response))


_REMEDY = 'write {"prompt": "...", "response": "..."} on each line'


def _demonstration(path: Path, number: int, line: bytes) -> Demonstration:
    try:
        pair = msgspec.json.decode(line, type=_Line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}:{number}: {error}; {_REMEDY}") from error
    for name in ("prompt", "response"):
        if not getattr(pair, name).strip():
            raise UsageError(f"{path}:{number}: {name} is empty; {_REMEDY}")
    return Demonstration(
        problem_id=f"{path.stem}-{number:04d}", source=path.name, prompt=pair.prompt, response=pair.response
    )
