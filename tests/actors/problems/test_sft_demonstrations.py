"""Demonstrations for SFT: oracle solutions, and the user's own prompts and responses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.problems.sft_demonstrations import (
    Demonstration,
    full_oracle_demonstrations,
    guided_oracle_demonstrations,
    read_demonstrations,
    token_ids,
)
from actors.prompts import PARTIAL_RESPONSE, PromptBuilder, guided_message, unguided_message
from broker.errors import UsageError
from broker.records import Problem
from conf.schema import GuidanceSettings


def problem(id: str, solution: str | None, guidance: str | None = None) -> Problem:
    return Problem(
        id=id, statement=f"What is {id}?", answer="4", bucket="hard", source="test", solution=solution,
        guidance=guidance,
    )  # fmt: skip


class Letters:
    """A tokenizer whose ids are code points."""

    eos_token_id = 1

    def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
        return f"<{messages[0]['content']}>"

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": [ord(letter) for letter in text]}


def test_full_oracle_pairs_the_unguided_prompt_with_the_whole_solution() -> None:
    found, left_out = full_oracle_demonstrations(
        [problem("p", "2+2=4.\nSo \\boxed{4}.\n", guidance="2+2=4."), problem("q", None)]
    )
    (demonstration,) = found
    assert demonstration.prompt == unguided_message("What is p?")
    assert demonstration.response == "2+2=4.\nSo \\boxed{4}."
    assert PARTIAL_RESPONSE not in demonstration.prompt
    assert [(row.problem_id, row.reason) for row in left_out] == [("q", "no solution")]


def test_every_second_problem_is_demonstrated_with_a_prefix_of_its_solution_and_the_rest() -> None:
    solution = "2+1=3.\nThen 3+3=6.\nThen 6-2=4.\nSo \\boxed{4}.\n"
    problems = [problem("a", solution), problem("none", None), problem("b", solution), problem("c", solution)]
    problems.append(problem("no prefix", "\\boxed{4}"))
    found, left_out = guided_oracle_demonstrations(problems, GuidanceSettings(num_prefixes=3), seed=0)
    prefix = "2+1=3."
    whole = solution.strip()
    assert [(d.problem_id, d.source, d.response) for d in found if d.problem_id != "b"] == [
        ("a", "full_oracle", whole), ("c", "full_oracle", whole), ("no prefix", "full_oracle", "\\boxed{4}"),
    ]  # fmt: skip
    (guided,) = (d for d in found if d.problem_id == "b")
    assert guided.source == "guided_oracle"
    lengths = {1: prefix, 2: f"{prefix}\nThen 3+3=6."}
    given = lengths[whole.removesuffix(guided.response).count("\n")]
    assert guided.prompt == guided_message("What is b?", given, "default")
    assert f"{given}\n{guided.response}" == whole, "nothing is lost or shown twice"
    assert [(row.problem_id, row.reason) for row in left_out] == [("none", "no solution")]
    again, _ = guided_oracle_demonstrations(problems, GuidanceSettings(num_prefixes=3), seed=0)
    assert again == found


def test_prompt_and_response_are_tokenized_separately_and_end_with_eos() -> None:
    demonstration = Demonstration(problem_id="p", source="test", prompt="ab", response="cd")
    encoded = token_ids(demonstration, PromptBuilder(Letters()))
    prompt, response = (np.frombuffer(ids, "<i4").tolist() for ids in encoded)
    assert prompt == [ord(letter) for letter in "<ab>"]
    assert response == [ord("c"), ord("d"), 1]


def test_a_file_of_the_user_is_read_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"prompt": "a", "response": "b", "note": 1}\n\n{"prompt": "ç", "response": "d"}\n')
    found = read_demonstrations(path)
    assert [(d.problem_id, d.source, d.prompt, d.response) for d in found] == [
        ("mine-0001", "mine.jsonl", "a", "b"),
        ("mine-0003", "mine.jsonl", "ç", "d"),
    ]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ('{"prompt": "a"}', ":1: Object missing required field `response`"),
        ('{"prompt": "a", "response": "b"}\n{"prompt": "a", "response": " "}', ":2: response is empty"),
        ('{"prompt": "a", "response": 3}', ":1: Expected `str`"),
        ("{", ":1: "),
        ("\n", ": no demonstration in it"),
    ],
)
def test_an_invalid_line_is_an_error_with_its_location_and_the_remedy(
    tmp_path: Path, content: str, place: str
) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(content)
    with pytest.raises(UsageError) as caught:
        read_demonstrations(path)
    assert str(caught.value).startswith(f"{path}{place}")
    assert 'write {"prompt": "...", "response": "..."}' in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"sft\.data=.*none\.jsonl: No such file"):
        read_demonstrations(tmp_path / "none.jsonl")
