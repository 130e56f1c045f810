"""Real problems with human solutions, read from outside the repository; see the README beside them."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(os.environ.get("POPE_SHARED_DATA") or Path(__file__).parents[3] / "shared" / "data")
MISSING = not (FOLDER / "olympiadbench.jsonl").exists()
REASON = f"no real problems in {FOLDER}: set POPE_SHARED_DATA, or place them in ../shared/data"


class Solved(NamedTuple):
    source: str
    statement: str
    answer: str
    solutions: list[str]
    """Human solutions; none of gsm8k, whose solutions are steps of arithmetic."""


def solved_problems() -> Iterator[Solved]:
    """975 AIME problems, 30 of AIME 2024, 675 of OlympiadBench, 1319 of GSM8K."""
    for row in json.loads((FOLDER / "aime_1983_2023.json").read_text()):
        yield Solved("aime", row["problem"], row["answer"], [row["solution"]])
    for row in _lines("aime24.jsonl"):
        yield Solved("aime24", row["problem"], str(row["answer"]), [row["solution"]])
    for row in _lines("olympiadbench.jsonl"):
        answer = ", ".join(row["final_answer"]).strip("$").strip()
        yield Solved("olympiadbench", row["question"], answer, row["solution"])
    for row in _lines("gsm8k_test.jsonl"):
        yield Solved("gsm8k", row["question"], row["answer"].rpartition("####")[2].strip(), [])


def _lines(name: str) -> Iterator[dict]:
    return map(json.loads, (FOLDER / name).read_text().splitlines())
