"""Problems from a JSONL file, one JSON object a line.

    {"problem": "What is 1+1?", "answer": "2", "solution": "1+1=2. So 2.", "id": "sum-1", "bucket": "hard"}

`statement` may be written for `problem`. `solution`, `id` and `bucket` (hard or easy) may be left out; then there is no
guidance, the id is FILE-LINE, the bucket is hard. Other fields are ignored. Every complaint names file and line.
"""

import json
from pathlib import Path
from typing import Any, Literal, NoReturn

from actors.answers import MAX_ANSWER_CHARS
from broker.errors import UsageError
from broker.records import Problem

Bucket = Literal["hard", "easy"]


def read_problems(path: Path) -> list[Problem]:
    """The problems of a file in their order. Raises `UsageError` at the first line that breaks a rule."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise UsageError(f"problems.source={path}: {error.strerror}; give the path of a JSONL file") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    problems: list[Problem] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        problem = _Line(path, number).parse(line)
        if problem.id in seen:
            taken = seen[problem.id]
            _Line(path, number).refuse(f'"id" {problem.id!r} is already that of line {taken}; ids are unique')
        seen[problem.id] = number
        problems.append(problem)
    if not problems:
        raise UsageError(f"{path}: no problem in it; write one JSON object a line")
    return problems


class _Line:
    """One line of the file, and how to complain about it."""

    def __init__(self, path: Path, number: int) -> None:
        self.path = path
        self.number = number

    def refuse(self, complaint: str) -> NoReturn:
        raise UsageError(f"{self.path}:{self.number}: {complaint}")

    def parse(self, line: str) -> Problem:
        try:
            fields = json.loads(line)
        except json.JSONDecodeError as error:
            self.refuse(f"not JSON ({error.msg}, column {error.colno}); write one JSON object a line")
        if not isinstance(fields, dict):
            self.refuse(f"a JSON {type(fields).__name__}, not an object; write {{...}} with problem and answer")
        key = "problem" if "problem" in fields else "statement"
        return Problem(
            id=self._id(fields),
            statement=self._text(fields, key),
            answer=self._answer(fields),
            solution=self._text(fields, "solution") if fields.get("solution") is not None else None,
            bucket=self._bucket(fields),
            source=str(self.path),
        )

    def _text(self, fields: dict[str, Any], key: str) -> str:
        if key not in fields:
            self.refuse(f'no "{"problem" if key == "statement" else key}"; every line needs a problem and an answer')
        value = fields[key]
        if not isinstance(value, str):
            self.refuse(f'"{key}" is a JSON {type(value).__name__}; write it as a string')
        if not value.strip():
            self.refuse(f'"{key}" is empty; write it, or leave the line out')
        return value.strip()

    def _id(self, fields: dict[str, Any]) -> str:
        value = fields.get("id")
        if value is None:
            return f"{self.path.stem}-{self.number}"
        if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
            self.refuse('"id" must be a text or a whole number; leave it out to have the line number')
        return str(value).strip()

    def _bucket(self, fields: dict[str, Any]) -> Bucket:
        value = fields.get("bucket", "hard")
        if value == "hard" or value == "easy":
            bucket: Bucket = value
            return bucket
        self.refuse(f'"bucket" is {value!r}; it is hard or easy')

    def _answer(self, fields: dict[str, Any]) -> str:
        """The gold answer; what math-verify could certainly never parse is refused here, cheaply."""
        value = fields.get("answer")
        if isinstance(value, int | float) and not isinstance(value, bool):
            fields = {**fields, "answer": str(value)}
        answer = self._text(fields, "answer")
        if answer.startswith("\\boxed{") and answer.endswith("}"):
            answer = answer.removeprefix("\\boxed{").removesuffix("}").strip()
        if answer.startswith("$") and answer.endswith("$") and len(answer) > 1:
            answer = answer.strip("$").strip()
        if not answer:
            self.refuse('"answer" is empty once its box or dollar signs are gone; write the answer itself')
        if len(answer) > MAX_ANSWER_CHARS:
            limit = MAX_ANSWER_CHARS
            self.refuse(f'"answer" has {len(answer)} characters, the limit is {limit}; give the answer alone')
        if not balanced(answer):
            self.refuse('"answer" has unbalanced braces, so it cannot be parsed; close every {')
        return answer


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
