"""Demonstrations for SFT: oracle solutions, and the user's own prompts and responses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.problems.sft_demonstrations import Demonstration, full_oracle_demonstrations, read_demonstrations, token_ids
from actors.prompts import PARTIAL_RESPONSE, PromptBuilder, unguided_message
from broker.errors import UsageError
from broker.records import Problem


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
