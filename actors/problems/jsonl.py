"""Problems in JSONL and JSON files, and the JSONL format that pope-rl writes itself.

    {"problem": "What is 1+1?", "answer": "2", "solution": "1+1=2. So 2.", "id": "sum-1", "bucket": "hard"}

`statement` or `question` may be written for `problem`. What may be left out: `solution`; `guidance`, the part of the
solution a guided prompt shows, possibly empty; `id`, then made from the statement; `bucket` (hard, easy or easier),
then hard; `source`, where the problem comes from. Other fields are ignored. A JSON file holds a list of such objects.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from actors.problems.problem_set import write_lines
from actors.problems.rows import Layout, Row, read_rows
from broker.errors import UsageError
from broker.records import Problem


def read_problems(path: Path) -> list[Problem]:
    """The problems of a JSONL file in their order; what `write_problems` wrote comes back equal.

    Raises `UsageError` with file and line at the first row that is no problem, be it for its form or for its content.
    """
    found = read_rows(jsonl_rows(path), Layout(path.stem, str(path)))
    if found.rejected:
        first = found.rejected[0]
        raise UsageError(f"{path}:{first.row}: {first.detail}")
    return found.problems


def write_problems(path: Path, problems: Sequence[Problem]) -> None:
    """One problem a line, guidance included; the file is written whole or not at all."""
    write_lines(path, [msgspec.json.encode(problem) for problem in problems])


def jsonl_rows(path: Path) -> Iterator[Row]:
    """One row for each line that is not blank."""
    empty = True
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if line.strip():
            yield _row(number, f"{path}:{number}", _parsed(line, f"{path}:{number}", "write one JSON object a line"))
            empty = False
    if empty:
        raise UsageError(f"{path}: no problem in it; write one JSON object a line")


def json_rows(path: Path) -> Iterator[Row]:
    """One row for each item of the list the file holds."""
    items = _parsed(_text(path), str(path), "write a list of objects; one object a line is a .jsonl file")
    if not isinstance(items, list):
        raise UsageError(f"{path}: a JSON {type(items).__name__}, not a list; write [{{...}}, {{...}}]")
    if not items:
        raise UsageError(f"{path}: no problem in it; write [{{...}}, {{...}}]")
    for number, item in enumerate(items, start=1):
        yield _row(number, f"{path}: item {number}", item)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"problems.source={path}: {error.strerror}; give the path of a file of problems") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error


def _parsed(text: str, place: str, remedy: str) -> Any:
    try:
        return json.loads(text, parse_constant=lambda name: _refuse_constant(place, name))
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        raise UsageError(f"{place}: not JSON ({error.msg}, {line}column {error.colno}); {remedy}") from error
    except RecursionError as error:
        raise UsageError(f"{place}: JSON nested too deeply; {remedy}") from error


def _refuse_constant(place: str, name: str) -> NoReturn:
    raise UsageError(f"{place}: {name} is no JSON value; write a number, a string or null")


def _row(number: int, place: str, value: Any) -> Row:
    if not isinstance(value, dict):
        said = type(value).__name__
        raise UsageError(f"{place}: a JSON {said}, not an object; write {{...}} with problem and answer")
    return Row(number, place, value)
