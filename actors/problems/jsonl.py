"""Reads problems from JSONL and JSON files, and writes JSONL files.

    {"problem": "What is 1+1?", "answer": "2", "solution": "1+1=2. So 2.", "id": "sum-1", "bucket": "hard"}

The statement may be called `problem`, `statement` or `question`. Optional fields: `solution`; `guidance`, the prefix of
the solution in a guided prompt, possibly empty; `id`, by default computed from the statement; `bucket` (hard, easy or
easier), by default hard; `source`, the origin of the problem. Other fields are ignored. A JSON file contains a list of
such objects.
"""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from actors.problems.problem_set import RejectedRow
from actors.problems.row_layout import Row
from actors.problems.solutions import DroppedSolution
from broker.errors import UsageError
from broker.records import Problem


def write_problems(path: Path, problems: Sequence[Problem]) -> None:
    """Writes one problem per line, guidance included. The file is replaced atomically."""
    write_lines(path, [msgspec.json.encode(problem) for problem in problems])


def write_rejected(path: Path, rejected: Sequence[RejectedRow | DroppedSolution]) -> None:
    """Writes one rejected row or dropped solution per line. The file is replaced atomically."""
    write_lines(path, [msgspec.json.encode(row) for row in rejected])


def write_lines(path: Path, lines: Sequence[bytes]) -> None:
    """Writes the lines; the file is replaced atomically."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(b"".join(line + b"\n" for line in lines))
    os.replace(temporary, path)


def jsonl_rows(path: Path) -> Iterator[Row]:
    """One row for each line that is not blank. Raises UsageError with file and line."""
    empty = True
    for number, line in enumerate(_text(path).split("\n"), start=1):
        line = line.strip("\ufeff \t\r")  # files joined into one bring their byte order marks
        if line:
            location = f"{path}:{number}"
            yield _row(number, location, _parsed(line, location, "write one JSON object a line"))
            empty = False
    if empty:
        raise UsageError(f"{path}: no problem in it; write one JSON object a line")


def json_rows(path: Path) -> Iterator[Row]:
    """One row for each item of the list in the file. Raises UsageError with file and item."""
    items = _parsed(_text(path), str(path), "write a list of objects; one object a line is a .jsonl file")
    if not isinstance(items, list):
        raise UsageError(f"{path}: a JSON {type(items).__name__}, not a list; write [{{...}}, {{...}}]")
    if not items:
        raise UsageError(f"{path}: no problem in it; write [{{...}}, {{...}}]")
    for number, item in enumerate(items, start=1):
        yield _row(number, f"{path}: item {number}", item)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"problems.source={path}: {error.strerror}; give the path of a file of problems") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error


def _parsed(text: str, location: str, remedy: str) -> Any:
    try:
        return json.loads(text, parse_int=_integer)
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        raise UsageError(f"{location}: not JSON ({error.msg}, {line}column {error.colno}); {remedy}") from error
    except RecursionError as error:
        raise UsageError(f"{location}: JSON nested too deeply; {remedy}") from error


def _integer(digits: str) -> int | str:
    """The number; the digits if Python refuses to convert so many."""
    return int(digits) if len(digits) < 4300 else digits


def _row(number: int, location: str, value: Any) -> Row:
    if not isinstance(value, dict):
        kind = type(value).__name__
        raise UsageError(f"{location}: a JSON {kind}, not an object; write {{...}} with problem and answer")
    return Row(number, location, value)
