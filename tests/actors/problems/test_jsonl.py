"""JSONL files of problems: how they are read, and that every message names file, line, rule and remedy."""

import hashlib
import json
import re

import pytest

from actors.problems.catalog import held_out_problems, load_problems
from actors.problems.problem_sources import read_source
from broker.errors import UsageError
from conf.schema import ProblemSettings
from tests.problem_files import read_problems

GOOD = {"problem": " What is 1+1? ", "answer": "2", "solution": "1+1=2.", "id": "sum", "bucket": "easy"}


def write(tmp_path, *rows):
    path = tmp_path / "set.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_a_line_with_all_fields_and_a_minimal_line(tmp_path):
    full, bare = read_problems(write(tmp_path, GOOD, "", {"statement": "What is 2+2?", "answer": 4}))
    assert (full.id, full.statement, full.answer, full.solution, full.bucket) == (
        "sum", "What is 1+1?", "2", "1+1=2.", "easy",
    )  # fmt: skip
    hashed = hashlib.sha256(b"What is 2+2?").hexdigest()[:12]
    assert (bare.id, bare.answer, bare.solution, bare.bucket) == (f"set-{hashed}", "4", None, "hard")


@pytest.mark.parametrize(("written", "read"), [("$\\frac{1}{2}$", "\\frac{1}{2}"), ("\\boxed{7}", "7"), ("033", "033")])
def test_box_and_dollar_signs_around_an_answer_are_removed(tmp_path, written, read):
    assert read_problems(write(tmp_path, {**GOOD, "answer": written}))[0].answer == read


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ('{"problem": "x"', "not JSON .*write one JSON object a line"),
        ("[1]", "a JSON list, not an object"),
        ({"problem": "x"}, 'no "answer"; every line needs a problem and an answer'),
        ({"answer": "1"}, 'no "problem"; every line needs'),
        ({**GOOD, "problem": "  "}, '"problem" is empty; write the statement'),
        ({**GOOD, "problem": 3}, '"problem" is a JSON int; write it as a string'),
        ({**GOOD, "answer": ""}, '"answer" is empty'),
        ({**GOOD, "answer": "$$"}, '"answer" is empty once'),
        ({**GOOD, "answer": "\\frac{1}{2"}, '"answer" has unbalanced braces'),
        ({**GOOD, "answer": "1" * 1001}, '"answer" has 1001 characters'),
        ({**GOOD, "answer": True}, '"answer" is a JSON bool'),
        ({**GOOD, "bucket": "medium"}, "\"bucket\" is 'medium'; it is hard, easy or easier"),
        ({**GOOD, "id": ["a"]}, '"id" must be a text or a whole number'),
    ],
)
def test_the_message_for_an_invalid_line_names_the_line(tmp_path, row, complaint):
    path = write(tmp_path, {**GOOD, "id": "first"}, row)
    try:
        (rejected,) = read_source(ProblemSettings(source=str(path)), 0).rejected
        message = f"{path}:{rejected.row}: {rejected.detail}"
    except UsageError as error:
        message = str(error)
    assert re.search(rf"set\.jsonl:2: {complaint}", message)


def test_a_repeated_id_is_refused_with_both_lines_named(tmp_path):
    with pytest.raises(UsageError, match=r"set\.jsonl:3: \"id\" 'sum' is already that of line 1"):
        read_problems(write(tmp_path, GOOD, "", GOOD))


def test_a_missing_empty_or_badly_encoded_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"none\.jsonl: No such file"):
        read_problems(tmp_path / "none.jsonl")
    with pytest.raises(UsageError, match="no problem in it"):
        read_problems(write(tmp_path, ""))
    (tmp_path / "latin.jsonl").write_bytes(b'{"problem": "caf\xe9"}')
    with pytest.raises(UsageError, match="byte 16 is not UTF-8"):
        read_problems(tmp_path / "latin.jsonl")


def test_the_guided_arm_needs_solutions_of_hard_problems(tmp_path):
    path = str(write(tmp_path, {"problem": "x", "answer": "1", "id": "bare"}, GOOD))
    with pytest.raises(UsageError, match="problem bare has no solution"):
        load_problems(ProblemSettings(source=path), 0)
    assert [p.id for p in load_problems(ProblemSettings(source=path, arms={"unguided": 1}), 0)] == ["bare"]
    assert len(load_problems(ProblemSettings(source=path, arms={"unguided": 1, "easy": 1}), 0)) == 2
    with pytest.raises(UsageError, match="no other source has held-out problems"):
        held_out_problems(ProblemSettings(source=path), 0, 4)
