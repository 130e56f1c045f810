"""What supervised fine-tuning imitates: unguided prompts and responses to them. Pure.

    full_oracle   unguided prompt -> the whole oracle solution
    prefix        unguided prompt -> the prefix POPE guides with, and a correct completion (`rejection.py`)
    FILE.jsonl    {"prompt": "What is 1+1?", "response": "1+1=2."}, one object a line

A prompt is the user's message; the model's own chat template goes around it when it is tokenized.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from actors.prompts import rendered, unguided_message
from broker.errors import UsageError
from broker.records import Problem, Record, int32_bytes


class Demonstration(Record, frozen=True):
    """One prompt and one response to it."""

    problem_id: str
    source: str
    """How it came to be: full_oracle, prefix, or the name of the file."""
    prompt: str
    """The user's message; it carries no loss."""
    response: str
    """What is imitated, without the end-of-sequence token."""


class LeftOut(Record, frozen=True):
    """A problem or line that SFT does not see."""

    problem_id: str
    reason: str
    """A few words that are counted."""
    detail: str = ""


class _Line(msgspec.Struct, forbid_unknown_fields=False):
    """What a line of the user's own file must hold."""

    prompt: str
    response: str


def full_oracle(problems: Sequence[Problem]) -> tuple[list[Demonstration], list[LeftOut]]:
    """The oracle solutions as they are ("Full-oracle SFT", POPE section 6)."""
    demonstrations = [
        Demonstration(
            problem_id=problem.id,
            source="full_oracle",
            prompt=unguided_message(problem.statement),
            response=problem.solution.strip(),
        )
        for problem in problems
        if problem.solution
    ]
    return demonstrations, [LeftOut(problem_id=p.id, reason="no solution") for p in problems if not p.solution]


def read_demonstrations(path: Path) -> list[Demonstration]:
    """The user's own prompts and responses. Raises UsageError with file and line."""
    try:
        lines = path.expanduser().read_bytes().splitlines()
    except OSError as error:
        raise UsageError(f"sft.data={path}: {error.strerror}; give the path of a .jsonl file") from error
    found = [_demonstration(path, number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not found:
        raise UsageError(f"{path}: no demonstration in it; {_REMEDY}")
    return found


def token_ids(demonstration: Demonstration, tokenizer: Any) -> tuple[bytes, bytes]:
    """int32[P] of the whole prompt, int32[R] of the response with the end-of-sequence token.

    Tokenized apart, as a rollout is: the prompt's ids are fixed before the first token of the answer.
    """
    prompt, response = (
        tokenizer(text, add_special_tokens=False)["input_ids"]
        for text in (rendered(tokenizer, demonstration.prompt), demonstration.response)
    )
    return int32_bytes(prompt), int32_bytes([*response, tokenizer.eos_token_id])


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
